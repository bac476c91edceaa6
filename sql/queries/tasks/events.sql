-- tasks/events: what became of task $1, step by step.
-- State: none.
-- Locks: none.
-- Index: task_events_pkey.
SELECT number, state, attempt, at
FROM hostler.task_events
WHERE task_id = $1
ORDER BY number;
