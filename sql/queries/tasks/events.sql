-- tasks/events: what became of task $1, step by step. What a plain task has been through follows from
--     where it is.
-- State: none.
-- Locks: none.
-- Index: task_events_pkey; log_tasks_id, then as in tasks/get.
SELECT number, state, attempt, at
FROM hostler.task_events
WHERE task_id = $1
UNION ALL
SELECT step.number, step.state::hostler.task_state, step.attempt, step.at
FROM hostler.log_records AS task
CROSS JOIN LATERAL (
    VALUES (1, 'pending', 0, task.created_at), (2, 'running', 1, task.started_at),
        (3, 'completed', 1, task.finished_at)
) AS step (number, state, attempt, at)
WHERE (task.lane, task.number) = (SELECT lane, number FROM hostler.log_tasks WHERE id = $1)
    AND step.at IS NOT NULL
ORDER BY number;
