-- log/submit: append plain tasks: to the lanes $1, each as the $2-th new one of its lane, with ids
--     $3, kinds $4, inputs $5, most attempts $6, time limits $7 (milliseconds). The lanes $8, each
--     once, grow by $9. Where $10 is a host, its agents take the first $12 new ones of each lane at
--     once, by the claims $11, unless others wait before them, or something is limited. Returns one
--     row per lane: the number before its first new task, up to which they are claimed, and whether
--     its queue is paused. Without tasks ($1 to $7 are empty), log/copy brings them in the same
--     transaction.
-- State: a new task, pending; running where it is claimed.
-- Locks: the lanes' rows, until the commit, so that numbers are committed in their order; then the
--     host's row, shared, and the cursors, as log/claim does.
-- Index: log_lanes_pkey, log_cursors_by_place, hosts_pkey. The cursors are looked for between two places,
--     for a join of so few could be planned to read them all, and all that an old snapshot keeps of them.
WITH wish AS MATERIALIZED (
    SELECT *
    FROM unnest($8::integer[], $9::integer[], $11::uuid[], $12::integer[])
        AS wish (lane, grows, claim, most)
), grown AS (
    UPDATE hostler.log_lanes
    SET head = head + wish.grows
    FROM wish
    WHERE log_lanes.id = wish.lane
    RETURNING log_lanes.id AS lane, log_lanes.queue, log_lanes.head - wish.grows AS base
), made AS (
    INSERT INTO hostler.log_tasks (lane, number, id, kind, input, max_attempts, timeout_ms)
    SELECT grown.lane, grown.base + given.place, given.id, given.kind, given.input,
        given.max_attempts, given.timeout_ms
    FROM unnest(
        $1::integer[], $2::integer[], $3::uuid[], $4::text[], $5::jsonb[], $6::integer[],
        $7::bigint[]
    ) AS given (lane, place, id, kind, input, max_attempts, timeout_ms)
    JOIN grown ON grown.lane = given.lane
), place AS MATERIALIZED (
    SELECT grown.lane, grown.base, queues.limited,
        queues.paused AND coalesce(queues.paused_until > now(), true) AS paused
    FROM grown
    JOIN hostler.queues ON queues.name = grown.queue
), host AS MATERIALIZED (
    SELECT id FROM hostler.hosts WHERE id = $10 AND lease_ends_at > now() FOR KEY SHARE
), taken AS (
    UPDATE hostler.log_cursors
    SET taken = place.base + least(wish.most, wish.grows)
    FROM host, place
    JOIN wish ON wish.lane = place.lane
    WHERE log_cursors.lane = ANY ($8::integer[])
        AND log_cursors.taken >= (SELECT min(base) FROM grown)
        AND log_cursors.taken <= (SELECT max(base) FROM grown)
        AND log_cursors.lane = place.lane AND log_cursors.taken = place.base
        AND wish.most > 0 AND NOT place.limited AND NOT place.paused
        AND NOT EXISTS (
            SELECT FROM hostler.limits WHERE limits.limited AND limits.scope IN ('all', 'fleet')
        )
        AND NOT EXISTS (SELECT FROM hostler.queues AS weighed WHERE weighed.weight <> 1)
    RETURNING log_cursors.lane, log_cursors.taken, place.base, wish.claim, host.id AS host
), claimed AS (
    INSERT INTO hostler.log_claims (id, host_id, lane, first, last)
    SELECT claim, host, lane, base + 1, taken FROM taken
), told AS (
    INSERT INTO hostler.log_feed (step, lane, first, last)
    SELECT 1, grown.lane, grown.base + 1, grown.base + wish.grows
    FROM grown
    JOIN wish ON wish.lane = grown.lane
    RETURNING position
), told_next AS (
    -- After the others, for the positions are in the order of the steps.
    INSERT INTO hostler.log_feed (step, lane, first, last)
    SELECT 2, lane, base + 1, taken
    FROM taken
    CROSS JOIN (SELECT count(*) FROM told) AS before
)
SELECT place.lane, place.base, coalesce(taken.taken, place.base) AS taken, place.paused
FROM place
LEFT JOIN taken ON taken.lane = place.lane;
