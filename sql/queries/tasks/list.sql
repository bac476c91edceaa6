-- tasks/list: up to $5 tasks, newest first: in the states $1, in queue $2, of kind $3, older than
--     task $4; where null, in any queue, of any kind, from the newest on.
-- State: none.
-- Locks: none.
-- Index: tasks_listed, once per queue and state, each read from its newest end; so a listing of
--     the few failed tasks does not read past the many completed ones. A kind is looked for in
--     what these give, and has no index.
WITH shown AS MATERIALIZED (
    SELECT newest.id
    FROM hostler.queues
    CROSS JOIN unnest($1::hostler.task_state[]) AS wanted (state)
    CROSS JOIN LATERAL (
        SELECT tasks.id
        FROM hostler.tasks
        WHERE tasks.queue = queues.name AND tasks.state = wanted.state
            AND ($3::text IS NULL OR tasks.kind = $3)
            AND ($4::uuid IS NULL OR tasks.id < $4)
        ORDER BY tasks.id DESC
        LIMIT $5::bigint
    ) AS newest
    WHERE $2::text IS NULL OR queues.name = $2
    ORDER BY newest.id DESC
    LIMIT $5
)
SELECT tasks.id, tasks.queue, tasks.kind, tasks.state, tasks.priority, task_inputs.input,
    task_results.output, failure.class, failure.message, failure.detail, tasks.attempt,
    tasks.failures, tasks.max_attempts, tasks.timeout_ms, tasks.retry, tasks.idempotency_key, tasks.host_id,
    tasks.agent, tasks.cancel_requested, tasks.created_at, tasks.run_at,
    coalesce(tasks.started_at, newest.started_at) AS started_at, tasks.finished_at,
    needed.kinds, needed.names
FROM hostler.tasks
JOIN hostler.task_inputs ON task_inputs.task_id = tasks.id
LEFT JOIN hostler.task_results ON task_results.task_id = tasks.id
LEFT JOIN hostler.attempts AS newest
    ON newest.task_id = tasks.id AND newest.attempt = tasks.attempt
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
WHERE tasks.id = ANY (ARRAY(SELECT shown.id FROM shown))
ORDER BY tasks.id DESC;
