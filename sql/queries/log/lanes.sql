-- log/lanes: the lanes of slot $1 for the queues $2, made where they are missing, with the numbers of their newest
--     tasks: where these were deleted, up to there they were claimed. One row per lane, and none for a queue
--     that is not there.
-- State: none.
-- Locks: none, but of what it makes.
-- Index: log_lanes_one_per_slot; log_tasks_pkey and log_cursors_by_place, from their ends.
WITH made AS (
    INSERT INTO hostler.log_lanes (slot, queue)
    SELECT $1, queues.name
    FROM hostler.queues
    WHERE queues.name = ANY ($2::text[])
        AND NOT EXISTS (
            SELECT FROM hostler.log_lanes WHERE log_lanes.slot = $1 AND log_lanes.queue = queues.name
        )
    ORDER BY queues.name
    ON CONFLICT DO NOTHING
    RETURNING id, queue
), cursors AS (
    INSERT INTO hostler.log_cursors (lane, queue) SELECT id, queue FROM made
)
SELECT id, queue, 0::bigint AS head FROM made
UNION ALL
SELECT log_lanes.id, log_lanes.queue, greatest(
    (
        SELECT log_tasks.number
        FROM hostler.log_tasks
        WHERE log_tasks.lane = log_lanes.id
        ORDER BY log_tasks.number DESC
        LIMIT 1
    ),
    (
        SELECT log_cursors.taken
        FROM hostler.log_cursors
        WHERE log_cursors.lane = log_lanes.id
        ORDER BY log_cursors.taken DESC
        LIMIT 1
    )
)
FROM hostler.log_lanes
WHERE log_lanes.slot = $1 AND log_lanes.queue = ANY ($2::text[]);
