-- log/lanes: the lanes of slot $1 for the queues $2, made where they are missing. One row per lane,
--     and none for a queue that is not there.
-- State: none.
-- Locks: none, but of what it makes.
-- Index: log_lanes_one_per_slot.
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
SELECT id, queue FROM made
UNION ALL
SELECT id, queue FROM hostler.log_lanes WHERE slot = $1 AND queue = ANY ($2::text[]);
