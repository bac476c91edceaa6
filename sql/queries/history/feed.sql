-- history/feed: delete what the log told more than $1 milliseconds ago, of up to $2 rows of the feed,
--     the oldest first, and note from where on the feed is whole. Returns how many rows it deleted.
--     Nothing of a time in which a transaction began that is still open: the place of a reader who
--     reads now may be as old as that.
-- State: none.
-- Locks: the rows, and that of the horizon.
-- Index: log_feed_tx, from its beginning.
WITH old AS MATERIALIZED (
    SELECT tx, at
    FROM hostler.log_feed
    WHERE tx < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY tx
    LIMIT $2::bigint
), gone AS (
    DELETE FROM hostler.log_feed
    WHERE tx = ANY (
        ARRAY(SELECT old.tx FROM old WHERE old.at < now() - $1::bigint * interval '1 millisecond')
    )
    RETURNING tx
)
SELECT (SELECT count(*) FROM gone) AS rows,
    hostler.feed_begins_after((SELECT tx FROM gone ORDER BY tx DESC LIMIT 1));
