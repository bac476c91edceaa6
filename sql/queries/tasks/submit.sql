-- tasks/submit: insert a batch of tasks with their inputs: ids $1, queues $2, kinds $3, inputs $4,
--     priorities $5, times to wait for $6, most attempts $7, time limits $8 (milliseconds), keys $9,
--     retry terms $10, whether it waits for other tasks $11, deadlines $12, lanes $13, workspaces $14, limits of
--     silence $15 (milliseconds). Returns one row per task, or, with a queue that is not there, that queue and inserts nothing.
--     A key that is taken gives the task that has it. The caller sends each key once.
-- State: a new task, blocked if it waits for others, scheduled if its time is to come, else pending.
-- Locks: a key that another session is inserting is waited for; keys go in their order, so that
--     two batches never wait for each other. The row that has the key is updated without a change,
--     which is what makes it visible, whenever it was committed.
-- Index: queues_pkey, tasks_pkey, tasks_idempotency_key.
WITH given AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::smallint[], $6::timestamptz[],
        $7::integer[], $8::bigint[], $9::text[], $10::jsonb[],
        $11::boolean[], $12::timestamptz[], $13::bigint[], $14::jsonb[], $15::bigint[]
    ) AS given (
        id, queue, kind, input, priority, run_at, max_attempts, timeout_ms, idempotency_key,
        retry, waits, deadline, lane, workspace, stale_after_ms
    )
), unknown AS MATERIALIZED (
    SELECT given.queue
    FROM given
    WHERE NOT EXISTS (SELECT FROM hostler.queues WHERE queues.name = given.queue)
    LIMIT 1
), made AS (
    INSERT INTO hostler.tasks (
        id, queue, kind, state, priority, run_at, max_attempts, timeout_ms, idempotency_key,
        retry, deadline, lane, workspace, stale_after_ms
    )
    SELECT given.id, given.queue, given.kind,
        CASE
            WHEN given.waits THEN 'blocked'
            WHEN given.run_at > now() THEN 'scheduled'
            ELSE 'pending'
        END::hostler.task_state,
        given.priority, coalesce(given.run_at, now()), given.max_attempts, given.timeout_ms,
        given.idempotency_key, given.retry, given.deadline, given.lane,
        given.workspace, given.stale_after_ms
    FROM given
    WHERE NOT EXISTS (SELECT FROM unknown)
    ORDER BY given.idempotency_key, given.id
    ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO UPDATE
    SET idempotency_key = EXCLUDED.idempotency_key
    -- A row that this statement inserted has no xmax; one that it found has, for it is locked.
    RETURNING tasks.id, tasks.state, tasks.idempotency_key, tasks.xmax = 0 AS created
), inputs AS (
    INSERT INTO hostler.task_inputs (task_id, input)
    SELECT given.id, given.input
    FROM given
    -- IS TRUE keeps this from becoming a join, which would be planned for a batch of ten.
    WHERE (given.id IN (SELECT made.id FROM made WHERE made.created)) IS TRUE
)
SELECT id, state, idempotency_key, created, NULL AS unknown_queue FROM made
UNION ALL
SELECT NULL, NULL, NULL, NULL, queue FROM unknown;
