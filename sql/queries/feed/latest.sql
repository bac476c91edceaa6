-- feed/latest: what the feed has come to: the snapshot of this moment, which ends with the newest
--     transaction that told of a step, as in feed/read.
-- State: none.
-- Locks: none.
-- Index: task_events_tx and log_feed_tx, their newest ends; feed_horizon is one row.
WITH horizon AS MATERIALIZED (
    SELECT coalesce((SELECT gone FROM hostler.feed_horizon WHERE one), '0') AS gone
), newest AS MATERIALIZED (
    SELECT greatest(
        gone,
        (SELECT tx FROM hostler.task_events WHERE position IS NOT NULL ORDER BY tx DESC LIMIT 1),
        (SELECT tx FROM hostler.log_feed ORDER BY tx DESC LIMIT 1),
        '1'
    )::text::bigint + 1 AS bound
    FROM horizon
), moment AS MATERIALIZED (
    SELECT format('%s:%s:%s', coalesce(min(running.id), bound), bound,
            string_agg(running.id::text, ',' ORDER BY running.id))::pg_snapshot AS upto
    FROM newest
    LEFT JOIN LATERAL (
        SELECT open::text::bigint AS id FROM pg_snapshot_xip(pg_current_snapshot()) AS open
    ) AS running ON running.id < bound
    GROUP BY bound
)
SELECT upto::text AS seen FROM moment;
