-- tasks/attempts: the ended attempts of task $1, in their order, each with its workspace. A plain task has
--     at most one.
-- State: none.
-- Locks: none.
-- Index: attempts_pkey; workspaces_pkey; log_tasks_id, then as in tasks/get.
SELECT ended.*, workspaces.record AS workspace
FROM (
    SELECT attempt, outcome, class, message, detail, reason, host_id, agent, started_at, ended_at
    FROM hostler.attempts
    WHERE task_id = $1
    UNION ALL
    SELECT attempt, 'completed', NULL, NULL, NULL, NULL, ended_host_id, ended_agent, started_at,
        finished_at
    FROM hostler.log_records
    WHERE (lane, number) = (SELECT lane, number FROM hostler.log_tasks WHERE id = $1)
        AND state = 'completed'
) AS ended
LEFT JOIN hostler.workspaces
    ON workspaces.task_id = $1 AND workspaces.attempt = ended.attempt
ORDER BY ended.attempt;
