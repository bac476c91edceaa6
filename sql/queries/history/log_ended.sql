-- history/log_ended: a step of a search for plain tasks whose term is over, in the order of their
--     numbers: looks at up to $4 tasks of lane $2 after number $3, and returns those that completed more
--     than $1 milliseconds ago and that nobody needs, and those that moved and have ended, with how many. Up to about
--     $5 bytes, as they are kept, and one at the least. And after which number to go on; null if that
--     was all. What the feed still tells of is left: its steps are deleted first, by history/feed.
-- State: none.
-- Locks: none: whoever deletes them locks them and looks again.
-- Index: log_tasks_pkey, up to where the lane is claimed; log_ends_pkey, one look for each; log_feed_tx.
WITH term AS MATERIALIZED (
    SELECT least(
            now() - $1::bigint * interval '1 millisecond',
            (SELECT at FROM hostler.log_feed ORDER BY tx LIMIT 1) - interval '1 minute'
        ) AS ends_at
), looked AS MATERIALIZED (
    SELECT entry.number, entry.id, entry.created_at, pg_column_size(entry.input) AS bytes
    FROM hostler.log_tasks AS entry
    WHERE entry.lane = $2::integer AND entry.number > $3::bigint
        AND entry.number <= (SELECT taken FROM hostler.log_cursors WHERE log_cursors.lane = $2)
    ORDER BY entry.number
    LIMIT $4::bigint
), due AS MATERIALIZED (
    SELECT looked.number, ended.moved,
        sum(looked.bytes + ended.bytes) OVER (ORDER BY looked.number) AS bytes,
        row_number() OVER (ORDER BY looked.number) AS place
    FROM looked
    CROSS JOIN term
    CROSS JOIN LATERAL (
        SELECT log_ends.moved, log_ends.ended_at, coalesce(pg_column_size(log_ends.output), 0) AS bytes
        FROM hostler.log_ends
        WHERE log_ends.lane = $2 AND log_ends.number = looked.number
        OFFSET 0
    ) AS ended
    WHERE ended.ended_at < term.ends_at AND CASE
        -- Whoever runs it still comes here first with how it ends.
        WHEN ended.moved THEN coalesce(
            (SELECT tasks.state FROM hostler.tasks WHERE tasks.id = looked.id)
                IN ('completed', 'failed', 'cancelled'),
            true
        )
        ELSE NOT hostler.is_needed(looked.id)
    END
), fit AS MATERIALIZED (
    SELECT due.number, due.moved FROM due WHERE due.bytes <= $5::bigint OR due.place = 1
)
SELECT ARRAY(SELECT fit.number FROM fit ORDER BY fit.number) AS numbers,
    (SELECT count(*) FROM fit WHERE fit.moved) AS moved,
    CASE
        WHEN (SELECT count(*) FROM fit) < (SELECT count(*) FROM due)
        THEN (SELECT max(fit.number) FROM fit)
        WHEN (SELECT count(*) FROM looked) >= $4
            AND (SELECT min(looked.created_at) FROM looked) < (SELECT term.ends_at FROM term)
        THEN (SELECT max(looked.number) FROM looked)
    END AS go_on_after;
