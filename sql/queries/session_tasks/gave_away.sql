-- session_tasks/gave_away: a row if the task $2 was given away in the session $1.
-- State: none.
-- Locks: none.
-- Index: session_tasks_by_task, sessions_pkey.
SELECT 1 AS there
FROM hostler.session_tasks AS given
JOIN hostler.sessions AS session ON session.no = given.session_no
WHERE given.task_id = $2 AND session.id = $1;
