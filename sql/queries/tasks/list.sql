-- tasks/list: up to $5 tasks, newest first: in the states $1, in queue $2, of kind $3, older than
--     task $4, with a newest failure of class $6, submitted from $7 on and before $8; where null, any,
--     from the newest on.
-- State: none.
-- Locks: none.
-- Index: tasks_listed, once per queue and state, each read from its newest end; so a listing of
--     the few failed tasks does not read past the many completed ones. A kind, a class and a time are looked
--     for in what these give, and have no index. Of the log: the completed by log_tasks_id, from the newest,
--     the pending behind each lane's cursor, the running in the ranges of claims.
WITH shown AS MATERIALIZED (
    SELECT newest.id
    FROM hostler.queues
    CROSS JOIN unnest($1::hostler.task_state[]) AS wanted (state)
    CROSS JOIN LATERAL (
        SELECT tasks.id
        FROM hostler.tasks
        WHERE tasks.queue = queues.name AND tasks.state = wanted.state
            AND ($3::text IS NULL OR tasks.kind = $3)
            AND ($7::timestamptz IS NULL OR tasks.created_at >= $7)
            AND ($8::timestamptz IS NULL OR tasks.created_at < $8)
            AND (
                $6::hostler.failure_class IS NULL OR hostler.newest_failure(tasks.id) = $6
            )
            AND ($4::uuid IS NULL OR tasks.id < $4)
        ORDER BY tasks.id DESC
        LIMIT $5::bigint
    ) AS newest
    WHERE $2::text IS NULL OR queues.name = $2
    ORDER BY newest.id DESC
    LIMIT $5
), lanes AS MATERIALIZED (
    SELECT log_lanes.id, log_cursors.taken
    FROM hostler.log_lanes
    JOIN hostler.log_cursors ON log_cursors.lane = log_lanes.id
    -- What failed has left the log.
    WHERE ($2::text IS NULL OR log_lanes.queue = $2) AND $6 IS NULL
), logged AS MATERIALIZED (
    (
        SELECT entry.id
        FROM hostler.log_tasks AS entry
        JOIN hostler.log_ends AS ended
            ON ended.lane = entry.lane AND ended.number = entry.number AND NOT ended.moved
        WHERE 'completed' = ANY ($1::hostler.task_state[])
            AND entry.lane = ANY (ARRAY(SELECT lanes.id FROM lanes))
            AND ($3::text IS NULL OR entry.kind = $3)
            AND ($7 IS NULL OR entry.created_at >= $7)
            AND ($8 IS NULL OR entry.created_at < $8)
            AND entry.id < coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
        ORDER BY entry.id DESC
        LIMIT $5::bigint
    )
    UNION ALL
    SELECT waiting.id
    FROM lanes
    CROSS JOIN LATERAL (
        SELECT entry.id
        FROM hostler.log_tasks AS entry
        WHERE entry.lane = lanes.id AND entry.number > lanes.taken
            AND ($3::text IS NULL OR entry.kind = $3)
            AND ($7 IS NULL OR entry.created_at >= $7)
            AND ($8 IS NULL OR entry.created_at < $8)
            AND ($4::uuid IS NULL OR entry.id < $4)
            AND NOT EXISTS (
                SELECT FROM hostler.log_ends AS ended
                WHERE ended.lane = entry.lane AND ended.number = entry.number
            )
        ORDER BY entry.number DESC
        LIMIT $5::bigint
    ) AS waiting
    WHERE 'pending' = ANY ($1::hostler.task_state[])
    UNION ALL
    SELECT entry.id
    FROM lanes
    JOIN hostler.log_claims AS claim ON claim.lane = lanes.id
    JOIN hostler.log_tasks AS entry
        ON entry.lane = claim.lane AND entry.number >= claim.first AND entry.number <= claim.last
    WHERE 'running' = ANY ($1::hostler.task_state[])
        AND ($3::text IS NULL OR entry.kind = $3)
        AND ($7 IS NULL OR entry.created_at >= $7)
        AND ($8 IS NULL OR entry.created_at < $8)
        AND ($4::uuid IS NULL OR entry.id < $4)
        AND NOT EXISTS (
            SELECT FROM hostler.log_ends AS ended
            WHERE ended.lane = entry.lane AND ended.number = entry.number
        )
)
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
WHERE tasks.id = ANY (ARRAY(SELECT shown.id FROM shown))
UNION ALL
SELECT record.id, record.queue, record.kind, record.state, 0::smallint, record.input,
    record.output, NULL, NULL, NULL, record.attempt, 0, record.max_attempts, record.timeout_ms,
    NULL, NULL, NULL, CASE WHEN record.state = 'running' THEN record.host_id END, NULL, false,
    record.created_at, record.created_at, record.started_at, record.finished_at,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM hostler.log_records AS record
WHERE record.id = ANY (ARRAY(SELECT logged.id FROM logged ORDER BY logged.id DESC LIMIT $5::bigint))
ORDER BY id DESC
LIMIT $5;
