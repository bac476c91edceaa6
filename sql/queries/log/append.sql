-- log/append: as log/submit for one lane and nobody who takes of it at once, which is most of what comes one
--     by one: half the plan to set up. Append plain tasks to the lane $1, which grows by their number $2,
--     with ids $3, kinds $4, inputs $5, most attempts $6, time limits $7 (milliseconds). Returns the number
--     before the first of them, and whether the queue is paused.
-- State: a new task, pending.
-- Locks: the lane's row, until the commit, so that numbers are committed in their order.
-- Index: log_lanes_pkey, queues_pkey.
WITH grown AS (
    UPDATE hostler.log_lanes
    SET head = head + $2::integer
    WHERE id = $1
    RETURNING id AS lane, queue, head - $2::integer AS base
), made AS (
    INSERT INTO hostler.log_tasks (lane, number, id, kind, input, max_attempts, timeout_ms)
    SELECT grown.lane, grown.base + given.place, given.id, given.kind, given.input,
        given.max_attempts, given.timeout_ms
    FROM grown
    CROSS JOIN unnest($3::uuid[], $4::text[], $5::jsonb[], $6::integer[], $7::bigint[])
        WITH ORDINALITY AS given (id, kind, input, max_attempts, timeout_ms, place)
), told AS (
    INSERT INTO hostler.log_feed (step, lane, first, last)
    SELECT 1, lane, base + 1, base + $2::integer FROM grown
)
SELECT grown.lane, grown.base, grown.base AS taken,
    queues.paused AND coalesce(queues.paused_until > now(), true) AS paused
FROM grown
JOIN hostler.queues ON queues.name = grown.queue;
