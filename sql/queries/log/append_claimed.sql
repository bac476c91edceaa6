-- log/append_claimed: as log/submit for one lane of which agents of the host $8 take at once, which is what
--     comes alone while they are idle: half the plan to set up. Append plain tasks to the lane $1, which grows
--     by their number $2, with ids $3, kinds $4, inputs $5, most attempts $6, time limits $7 (milliseconds).
--     The agents take the first $10 of them by the claim $9, unless others wait before them, or something is
--     limited. Returns the number before the first of them, up to which they are claimed, and whether the
--     queue is paused.
-- State: a new task, pending; running where it is claimed.
-- Locks: as log/submit.
-- Index: log_lanes_pkey, log_cursors_by_place, hosts_pkey, queues_pkey.
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
), place AS MATERIALIZED (
    SELECT grown.lane, grown.base, queues.limited,
        queues.paused AND coalesce(queues.paused_until > now(), true) AS paused
    FROM grown
    JOIN hostler.queues ON queues.name = grown.queue
), host AS MATERIALIZED (
    SELECT id FROM hostler.hosts WHERE id = $8 AND lease_ends_at > now() FOR KEY SHARE
), taken AS (
    UPDATE hostler.log_cursors
    SET taken = place.base + least($10::integer, $2::integer)
    FROM place, host
    WHERE log_cursors.lane = $1 AND log_cursors.taken = (SELECT base FROM grown)
        AND NOT place.limited AND NOT place.paused
        AND NOT EXISTS (
            SELECT FROM hostler.limits WHERE limits.limited AND limits.scope IN ('all', 'fleet')
        )
        AND NOT EXISTS (SELECT FROM hostler.queues AS weighed WHERE weighed.weight <> 1)
    RETURNING log_cursors.lane, log_cursors.taken, place.base
), claimed AS (
    INSERT INTO hostler.log_claims (id, host_id, lane, first, last)
    SELECT $9::uuid, $8, lane, base + 1, taken FROM taken
), told AS (
    -- In this order, for the positions are in the order of the steps.
    INSERT INTO hostler.log_feed (step, lane, first, last)
    SELECT 1, lane, base + 1, base + $2::integer FROM grown
    UNION ALL
    SELECT 2, lane, base + 1, taken FROM taken
)
SELECT place.lane, place.base, coalesce(taken.taken, place.base) AS taken, place.paused
FROM place
LEFT JOIN taken ON true;
