-- log/find: the plain tasks in one of the states $1, pending or running, in queue $2, of kind $3,
--     submitted from $4 on and before $5, of the tasks $6; where null, any. How many there are, and
--     who: up to $7 of both; all are counted, and none is named, where that is null.
-- State: none.
-- Locks: none: whoever changes them moves them into `tasks`, and looks again.
-- Index: log_tasks_id for the list; else log_tasks_pkey, behind each lane's cursor and in the ranges
--     of claims, log_claims_by_lane. What has completed costs nothing.
WITH lanes AS MATERIALIZED (
    SELECT log_lanes.id, log_cursors.taken
    FROM hostler.log_lanes
    JOIN hostler.log_cursors ON log_cursors.lane = log_lanes.id
    WHERE $2::text IS NULL OR log_lanes.queue = $2
), found AS MATERIALIZED (
    SELECT each.id
    FROM (
        SELECT entry.lane, entry.number, entry.id, entry.kind, entry.created_at
        FROM lanes
        JOIN hostler.log_tasks AS entry
            ON entry.lane = lanes.id AND entry.number > lanes.taken
        WHERE 'pending' = ANY ($1::hostler.task_state[]) AND $6::uuid[] IS NULL
        UNION ALL
        SELECT entry.lane, entry.number, entry.id, entry.kind, entry.created_at
        FROM lanes
        JOIN hostler.log_claims AS claim ON claim.lane = lanes.id
        JOIN hostler.log_tasks AS entry
            ON entry.lane = claim.lane AND entry.number >= claim.first
                AND entry.number <= claim.last
        WHERE 'running' = ANY ($1) AND $6 IS NULL
        UNION ALL
        SELECT record.lane, record.number, record.id, record.kind, record.created_at
        FROM hostler.log_records AS record
        WHERE record.id = ANY ($6) AND record.state = ANY ($1)
            AND ($2 IS NULL OR record.queue = $2)
    ) AS each
    WHERE ($3::text IS NULL OR each.kind = $3)
        AND ($4::timestamptz IS NULL OR each.created_at >= $4)
        AND ($5::timestamptz IS NULL OR each.created_at < $5)
        AND NOT EXISTS (
            SELECT FROM hostler.log_ends AS ended
            WHERE ended.lane = each.lane AND ended.number = each.number
        )
    LIMIT $7::bigint
)
SELECT (SELECT count(*) FROM found) AS found,
    ARRAY(SELECT found.id FROM found WHERE $7 IS NOT NULL ORDER BY found.id) AS ids;
