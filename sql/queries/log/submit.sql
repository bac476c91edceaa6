-- log/submit: append plain tasks: to the lanes $1, with the numbers $2, ids $3, kinds $4, inputs $5, most
--     attempts $6, time limits $7 (milliseconds). The lanes $8, each once, whose newest tasks have the
--     numbers $9, grow by $10. Where $11 is a host, its agents take the first $13 new ones of each lane at
--     once, by the claims $12, unless others wait before them, or something is limited. Returns one
--     row per lane: up to which number its new tasks are claimed, and whether its queue is paused. Where one of
--     those newest tasks is not there, nor was, nothing is appended, and that lane has no row. Without
--     tasks ($1 to $7 are empty), log/copy brings them in the same transaction.
-- State: a new task, pending; running where it is claimed.
-- Locks: the keys of the tasks: whoever has numbered tasks of a lane from the same place on waits for this
--     commit, and is refused. Then the host's row, shared, and the cursors, as log/claim does.
-- Index: log_lanes_pkey, log_tasks_pkey, log_cursors_by_place, hosts_pkey. The cursors are looked for between two places,
--     for a join of so few could be planned to read them all, and all that an old snapshot keeps of them.
WITH wish AS MATERIALIZED (
    SELECT *
    FROM unnest($8::integer[], $9::bigint[], $10::integer[], $12::uuid[], $13::integer[])
        AS wish (lane, base, grows, claim, most)
), found AS MATERIALIZED (
    SELECT wish.lane, wish.base, queues.limited,
        queues.paused AND coalesce(queues.paused_until > now(), true) AS paused
    FROM wish
    JOIN hostler.log_lanes ON log_lanes.id = wish.lane
    JOIN hostler.queues ON queues.name = log_lanes.queue
    WHERE coalesce(
        (
            SELECT true
            FROM hostler.log_tasks
            WHERE log_tasks.lane = wish.lane AND log_tasks.number = wish.base
            LIMIT 1
        ),
        (
            SELECT true
            FROM hostler.log_cursors
            WHERE log_cursors.lane = wish.lane AND log_cursors.taken >= wish.base
            LIMIT 1
        )
    )
), all_found AS MATERIALIZED (
    SELECT FROM found HAVING count(*) = (SELECT count(*) FROM wish)
), place AS MATERIALIZED (
    SELECT found.* FROM found CROSS JOIN all_found
), made AS (
    INSERT INTO hostler.log_tasks (lane, number, id, kind, input, max_attempts, timeout_ms)
    SELECT given.lane, given.number, given.id, given.kind, given.input, given.max_attempts,
        given.timeout_ms
    FROM unnest(
        $1::integer[], $2::bigint[], $3::uuid[], $4::text[], $5::jsonb[], $6::integer[], $7::bigint[]
    ) AS given (lane, number, id, kind, input, max_attempts, timeout_ms)
    CROSS JOIN all_found
), host AS MATERIALIZED (
    SELECT id FROM hostler.hosts WHERE id = $11 AND lease_ends_at > now() FOR KEY SHARE
), taken AS (
    UPDATE hostler.log_cursors
    SET taken = place.base + least(wish.most, wish.grows)
    FROM host, place
    JOIN wish ON wish.lane = place.lane
    WHERE log_cursors.lane = ANY ($8::integer[])
        AND log_cursors.taken >= (SELECT min(base) FROM wish)
        AND log_cursors.taken <= (SELECT max(base) FROM wish)
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
    SELECT 1, wish.lane, wish.base + 1, wish.base + wish.grows FROM wish CROSS JOIN all_found
    RETURNING position
), told_next AS (
    -- After the others, for the positions are in the order of the steps.
    INSERT INTO hostler.log_feed (step, lane, first, last)
    SELECT 2, lane, base + 1, taken
    FROM taken
    CROSS JOIN (SELECT count(*) FROM told) AS before
)
SELECT found.lane, coalesce(taken.taken, found.base) AS taken, found.paused
FROM found
LEFT JOIN taken ON taken.lane = found.lane;
