-- tasks/get: task $1 with its input, its result, its newest failure, what it needs, and up to 1000 of
--     the tasks that it depends on and waits for. No row if it is unknown.
-- State: none.
-- Locks: none.
-- Index: tasks_pkey, task_inputs_pkey, task_results_pkey, attempts_pkey, task_failures_pkey,
--     task_needs_pkey, dependents_pkey, dependencies_pkey; log_tasks_id, and with what that gives log_tasks_pkey,
--     log_lanes_pkey, log_ends_pkey, log_claims_by_lane: each by its key, whatever the planner makes of it.
SELECT tasks.id, tasks.queue, tasks.kind, tasks.state, tasks.priority, task_inputs.input,
    task_results.output, coalesce(late.class, failure.class) AS class,
    coalesce(late.message, failure.message) AS message,
    coalesce(late.detail, failure.detail) AS detail, tasks.attempt,
    tasks.failures, tasks.max_attempts, tasks.timeout_ms, tasks.retry, tasks.deadline,
    tasks.idempotency_key, tasks.host_id, tasks.agent, tasks.cancel_requested, tasks.created_at,
    tasks.run_at,
    coalesce(tasks.started_at, newest.started_at) AS started_at, tasks.finished_at,
    needed.kinds, needed.names,
    dependents.policy, dependents.template,
    CASE WHEN dependents.policy IS NOT NULL THEN ARRAY(
        SELECT depends_on FROM hostler.dependencies
        WHERE dependencies.task_id = tasks.id ORDER BY place LIMIT 1000
    ) END AS depends_on,
    CASE WHEN tasks.state = 'blocked' THEN dependents.open END AS open,
    CASE WHEN tasks.state = 'blocked' THEN hostler.waits_for(tasks.id, 1000) END AS waits_for,
    CASE WHEN tasks.state = 'blocked' THEN hostler.held_by(tasks.id) END AS held_by,
    CASE WHEN tasks.state = 'cancelled' THEN dependents.stopped_by END AS stopped_by,
    CASE WHEN tasks.state = 'cancelled' THEN dependents.cause END AS cause,
    task_members.group_name, task_members.batch_id, tasks.workspace,
    tasks.stale_after_ms
FROM hostler.tasks
JOIN hostler.task_inputs ON task_inputs.task_id = tasks.id
LEFT JOIN hostler.task_members ON task_members.task_id = tasks.id
LEFT JOIN hostler.dependents ON dependents.task_id = tasks.id
LEFT JOIN hostler.task_results ON task_results.task_id = tasks.id
LEFT JOIN hostler.attempts AS newest
    ON newest.task_id = tasks.id AND newest.attempt = tasks.attempt
LEFT JOIN hostler.task_failures AS late
    ON late.task_id = tasks.id AND late.attempt = tasks.attempt AND tasks.state = 'failed'
LEFT JOIN LATERAL (
    SELECT attempts.class, attempts.message, attempts.detail
    FROM hostler.attempts
    WHERE attempts.task_id = tasks.id AND attempts.outcome = 'failed'
    ORDER BY attempts.attempt DESC
    LIMIT 1
) AS failure ON true
LEFT JOIN LATERAL (
    SELECT array_agg(task_needs.kind) AS kinds, array_agg(task_needs.name) AS names
    FROM hostler.task_needs
    WHERE task_needs.task_id = tasks.id AND tasks.lane IS NOT NULL
) AS needed ON true
WHERE tasks.id = $1
UNION ALL
SELECT record.id, record.queue, record.kind, record.state, 0::smallint, record.input,
    record.output, NULL, NULL, NULL, record.attempt, 0, record.max_attempts, record.timeout_ms,
    NULL, NULL, NULL, CASE WHEN record.state = 'running' THEN record.host_id END, NULL, false,
    record.created_at, record.created_at, record.started_at, record.finished_at,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM hostler.log_records AS record
WHERE (record.lane, record.number) = (SELECT lane, number FROM hostler.log_tasks WHERE id = $1);
