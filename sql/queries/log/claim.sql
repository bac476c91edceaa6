-- log/claim: take up to $4 plain tasks for host $1, from one lane of the queues $3, as claim $5: of
--     the lanes, the one whose next task is oldest. Returns one row per task, in their order; one row
--     without a lane where another has the lock of what waits, or moved some of it while this began.
--     What is limited is passed over, as by tasks/claim: limited queues, and all where fleet $6 is.
-- State: pending -> running, which is `step(Pending, Claimed)`, for attempt 1.
-- Locks: the host's row, shared, and only while its lease holds, as tasks/claim does; then the
--     lane's cursor: SKIP LOCKED, so that claimers never wait for each other. The newest task that is seen
--     has all before it committed: whoever appends has numbered from the newest committed one on. Of a
--     locked cursor the newest version counts; `log_ends` is read as of the beginning, and is too old
--     where `moves` is not as it was then.
-- Index: log_cursors_by_place, from its end, once per lane: an old snapshot keeps all places that the
--     cursor ever had, and whoever looked for it by the lane alone would meet them all. Then log_tasks_pkey
--     and log_ends_pkey, one range each. $2 is unused where the host has no preference: its own lanes
--     (slot $2) go first among the equally old. What is large is read by its key alone, and not joined: of
--     a table that was empty when the plan was made, to read all costs no more than to look one up.
WITH host AS MATERIALIZED (
    SELECT id FROM hostler.hosts WHERE id = $1 AND lease_ends_at > now() FOR KEY SHARE
), waiting AS MATERIALIZED (
    SELECT cursor.lane, cursor.taken, newest.number AS head, cursor.moves, next.created_at,
        log_lanes.slot = $2 AS is_own
    FROM host
    CROSS JOIN hostler.log_lanes
    CROSS JOIN LATERAL (
        SELECT log_cursors.lane, log_cursors.taken, log_cursors.moves
        FROM hostler.log_cursors
        WHERE log_cursors.lane = log_lanes.id
        ORDER BY log_cursors.taken DESC
        LIMIT 1
    ) AS cursor
    JOIN hostler.queues ON queues.name = log_lanes.queue
    CROSS JOIN LATERAL (
        SELECT log_tasks.created_at
        FROM hostler.log_tasks
        WHERE log_tasks.lane = cursor.lane AND log_tasks.number = cursor.taken + 1
        LIMIT 1
    ) AS next
    CROSS JOIN LATERAL (
        SELECT log_tasks.number
        FROM hostler.log_tasks
        WHERE log_tasks.lane = cursor.lane
        ORDER BY log_tasks.number DESC
        LIMIT 1
    ) AS newest
    WHERE log_lanes.queue = ANY ($3::text[]) AND NOT queues.limited
        AND (NOT queues.paused OR queues.paused_until <= now())
        AND NOT EXISTS (
            SELECT FROM hostler.limits
            WHERE limits.limited
                AND (limits.scope = 'all' OR limits.scope = 'fleet' AND limits.name = $6)
        )
        AND NOT EXISTS (
            SELECT FROM hostler.queues AS weighed
            WHERE weighed.name = ANY ($3::text[]) AND weighed.weight <> 1
        )
), locked AS MATERIALIZED (
    SELECT cursor.lane, cursor.queue, cursor.taken,
        least(ranked.head, cursor.taken + $4::integer) AS upto,
        cursor.moves = ranked.moves AS is_known, ranked.taken AS seen
    FROM (SELECT * FROM waiting ORDER BY waiting.created_at, waiting.is_own DESC) AS ranked
    CROSS JOIN LATERAL (
        SELECT log_cursors.lane, log_cursors.queue, log_cursors.taken, log_cursors.moves
        FROM hostler.log_cursors
        WHERE log_cursors.lane = ranked.lane AND log_cursors.taken >= ranked.taken
            AND log_cursors.taken < ranked.head
        FOR UPDATE SKIP LOCKED
    ) AS cursor
    LIMIT 1
), lane AS MATERIALIZED (
    SELECT * FROM locked WHERE is_known
), moved AS (
    UPDATE hostler.log_cursors SET taken = (SELECT lane.upto FROM lane)
    WHERE log_cursors.lane = (SELECT lane.lane FROM lane)
        AND log_cursors.taken >= (SELECT lane.seen FROM lane)
), gone AS MATERIALIZED (
    SELECT coalesce(array_agg(log_ends.number), '{}') AS numbers
    FROM hostler.log_ends
    WHERE log_ends.lane = (SELECT lane.lane FROM lane)
        AND log_ends.number > (SELECT lane.taken FROM lane)
        AND log_ends.number <= (SELECT lane.upto FROM lane)
), claimed AS (
    INSERT INTO hostler.log_claims (id, host_id, lane, first, last)
    SELECT $5, host.id, lane.lane, lane.taken + 1, lane.upto FROM host CROSS JOIN lane
), told AS (
    INSERT INTO hostler.log_feed (step, lane, first, last, passed_over)
    SELECT 2, lane.lane, lane.taken + 1, lane.upto, gone.numbers FROM lane CROSS JOIN gone
)
SELECT lane.lane, lane.queue, lane.upto - lane.taken AS span, entry.number, entry.id, entry.kind,
    entry.input, entry.max_attempts, entry.timeout_ms,
    greatest(0, date_part('epoch', now() - entry.created_at) * 1000)::bigint AS waited_ms
FROM (SELECT FROM waiting LIMIT 1) AS there
LEFT JOIN lane ON true
LEFT JOIN LATERAL (
    SELECT log_tasks.*
    FROM hostler.log_tasks
    WHERE log_tasks.lane = lane.lane AND log_tasks.number > lane.taken
        AND log_tasks.number <= lane.upto
        AND log_tasks.number <> ALL ((SELECT gone.numbers FROM gone)::bigint[])
    ORDER BY log_tasks.number
) AS entry ON true;
