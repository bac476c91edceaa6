-- breaking: no
-- What happened to hosts, fleets and agents, in the order of the feed.

CREATE TABLE hostler.host_events (
    position bigint      NOT NULL DEFAULT nextval('hostler.feed_position'),
    tx       xid8        NOT NULL DEFAULT pg_current_xact_id(),
    at       timestamptz NOT NULL,
    host_id  uuid        NOT NULL,
    type     text        NOT NULL,
    fleet    text,
    agent    text,
    reason   text,
    detail   jsonb       NOT NULL DEFAULT 'null',
    CONSTRAINT host_events_have_a_type CHECK (type ~ '^(host|fleet|agent)[.][a-z]+$')
);
CREATE INDEX host_events_tx ON hostler.host_events (tx);
COMMENT ON TABLE hostler.host_events IS
    'What happened to hosts, fleets and agents, for the feed: one row for each event.';

-- As in 0016, with what is told of hosts.
CREATE OR REPLACE FUNCTION hostler.feed_moment() RETURNS TABLE (gone xid8, upto pg_snapshot)
LANGUAGE sql STABLE ROWS 1 AS $$
    WITH horizon AS MATERIALIZED (
        SELECT coalesce((SELECT feed_horizon.gone FROM hostler.feed_horizon WHERE one), '0') AS past
    ), newest AS MATERIALIZED (
        SELECT past, greatest(
            past,
            (SELECT tx FROM hostler.task_events WHERE position IS NOT NULL ORDER BY tx DESC LIMIT 1),
            (SELECT tx FROM hostler.log_feed ORDER BY tx DESC LIMIT 1),
            (SELECT tx FROM hostler.host_events ORDER BY tx DESC LIMIT 1),
            '1'
        )::text::bigint + 1 AS bound
        FROM horizon
    )
    SELECT past, format('%s:%s:%s', coalesce(min(running.id), bound), bound,
        string_agg(running.id::text, ',' ORDER BY running.id))::pg_snapshot
    FROM newest
    LEFT JOIN LATERAL (
        SELECT open::text::bigint AS id FROM pg_snapshot_xip(pg_current_snapshot()) AS open
    ) AS running ON running.id < bound
    GROUP BY past, bound
$$;
