-- log/append_claimed: as log/submit for one lane of which agents of the host $9 take at once, which is what
--     comes alone while they are idle: half the plan to set up. Append plain tasks to the lane $1 of queue $3,
--     whose newest task has the number $2, with ids $4, kinds $5, inputs $6, most attempts $7, time limits $8
--     (milliseconds). The agents take the first $11 of them by the claim $10, unless others wait before them, or
--     something is limited. Returns up to which number they are claimed, and whether the queue is paused.
--     No row, and appends nothing, where there is no such task, nor was one.
-- State: a new task, pending; running where it is claimed.
-- Locks: as log/submit.
-- Index: log_tasks_pkey, log_cursors_by_place, hosts_pkey, queues_pkey.
WITH place AS MATERIALIZED (
    SELECT queues.limited, queues.paused AND coalesce(queues.paused_until > now(), true) AS paused
    FROM hostler.queues
    WHERE queues.name = $3
        AND coalesce(
            (
                SELECT true
                FROM hostler.log_tasks
                WHERE log_tasks.lane = $1::integer AND log_tasks.number = $2::bigint
                LIMIT 1
            ),
            (
                SELECT true
                FROM hostler.log_cursors
                WHERE log_cursors.lane = $1 AND log_cursors.taken >= $2
                LIMIT 1
            )
        )
), made AS (
    INSERT INTO hostler.log_tasks (lane, number, id, kind, input, max_attempts, timeout_ms)
    SELECT $1, $2 + given.place, given.id, given.kind, given.input, given.max_attempts,
        given.timeout_ms
    FROM place
    CROSS JOIN unnest($4::uuid[], $5::text[], $6::jsonb[], $7::integer[], $8::bigint[])
        WITH ORDINALITY AS given (id, kind, input, max_attempts, timeout_ms, place)
), host AS MATERIALIZED (
    SELECT id FROM hostler.hosts WHERE id = $9 AND lease_ends_at > now() FOR KEY SHARE
), taken AS (
    UPDATE hostler.log_cursors
    SET taken = $2 + least($11::integer, cardinality($4))
    FROM place, host
    WHERE log_cursors.lane = $1 AND log_cursors.taken = $2
        AND NOT place.limited AND NOT place.paused
        AND NOT EXISTS (
            SELECT FROM hostler.limits WHERE limits.limited AND limits.scope IN ('all', 'fleet')
        )
        AND NOT EXISTS (SELECT FROM hostler.queues AS weighed WHERE weighed.weight <> 1)
    RETURNING log_cursors.taken
), claimed AS (
    INSERT INTO hostler.log_claims (id, host_id, lane, first, last)
    SELECT $10::uuid, $9, $1, $2 + 1, taken FROM taken
), told AS (
    -- In this order, for the positions are in the order of the steps.
    INSERT INTO hostler.log_feed (step, lane, first, last)
    SELECT 1, $1, $2 + 1, $2 + cardinality($4) FROM place
    UNION ALL
    SELECT 2, $1, $2 + 1, taken FROM taken
)
SELECT coalesce(taken.taken, $2) AS taken, place.paused
FROM place
LEFT JOIN taken ON true;
