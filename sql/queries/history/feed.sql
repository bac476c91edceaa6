-- history/feed: delete what the log and hosts told more than $1 milliseconds ago, of up to $2 rows of each in
--     the feed, the oldest first, and note from where on the feed is whole. Returns how many rows it
--     deleted. Nothing of a time in which a transaction began that is still open: the place of a reader who
--     reads now may be as old as that.
-- State: none.
-- Locks: the rows, and that of the horizon.
-- Index: log_feed_tx and host_events_tx, from their beginnings.
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
), old_of_hosts AS MATERIALIZED (
    SELECT tx, at
    FROM hostler.host_events
    WHERE tx < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY tx
    LIMIT $2::bigint
), gone_of_hosts AS (
    DELETE FROM hostler.host_events
    WHERE tx = ANY (
        ARRAY(
            SELECT old_of_hosts.tx FROM old_of_hosts
            WHERE old_of_hosts.at < now() - $1::bigint * interval '1 millisecond'
        )
    )
    RETURNING tx
)
SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM gone_of_hosts) AS rows,
    hostler.feed_begins_after(greatest(
        (SELECT tx FROM gone ORDER BY tx DESC LIMIT 1),
        (SELECT tx FROM gone_of_hosts ORDER BY tx DESC LIMIT 1)
    ));
