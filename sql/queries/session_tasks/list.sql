-- session_tasks/list: up to $4 tasks of session $1 as they are now, newest first: task $2 alone, or those
--     before number $3; where null, any. No row if the session is unknown; a row without a name if there are
--     none. A task that was deleted has no state.
-- State: none.
-- Locks: none.
-- Index: sessions_id_key, session_tasks_by_name, session_tasks_newest; tasks_pkey, task_results_pkey,
--     attempts_pkey, task_failures_pkey.
SELECT given.id, given.name, given.task_id, given.agent, given.type, given.description, given.input,
    given.past, given.created_at, tasks.state, tasks.priority, tasks.finished_at, result.output,
    coalesce(late.message, failure.message) AS message, began.started_at
FROM hostler.sessions AS session
LEFT JOIN LATERAL (
    SELECT * FROM hostler.session_tasks AS one
    WHERE one.session_no = session.no AND ($2::text IS NULL OR one.name = $2)
        AND one.id < coalesce($3, 9223372036854775807)
    ORDER BY one.id DESC
    LIMIT $4
) AS given ON true
LEFT JOIN LATERAL (SELECT * FROM hostler.tasks WHERE id = given.task_id OFFSET 0) AS tasks ON true
LEFT JOIN LATERAL (
    SELECT output FROM hostler.task_results WHERE task_id = given.task_id OFFSET 0
) AS result ON true
LEFT JOIN LATERAL (
    SELECT message FROM hostler.task_failures
    WHERE task_id = tasks.id AND attempt = tasks.attempt AND tasks.state = 'failed' OFFSET 0
) AS late ON true
LEFT JOIN LATERAL (
    SELECT message FROM hostler.attempts
    WHERE task_id = tasks.id AND outcome = 'failed' ORDER BY attempt DESC LIMIT 1
) AS failure ON true
LEFT JOIN LATERAL (
    SELECT coalesce(tasks.started_at, (
        SELECT started_at FROM hostler.attempts
        WHERE task_id = tasks.id AND attempt = tasks.attempt
    )) AS started_at
) AS began ON true
WHERE session.id = $1
ORDER BY given.id DESC;
