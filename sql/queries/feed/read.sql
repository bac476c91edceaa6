-- feed/read: up to $5 steps of tasks and events of hosts that the snapshot $1 did not see and $2 sees (this very moment
--     where it is null), after place $4 of position $3. Returns them in their order, each with both
--     snapshots, or one row with the snapshots alone. `1:1:` as $1 is the beginning: from where on
--     the feed is whole (which is never `1:1:`, so that a reader is there but once). `is_past` says that
--     steps were deleted which $1 did not see.
--     This moment is that of hostler.feed_moment.
-- State: none.
-- Locks: none.
-- Index: feed_horizon is one row; task_events_tx, log_feed_tx and host_events_tx, their newest ends first: whatever $1
--     did not see is of its oldest open transaction, or of a later one. Then log_tasks_pkey. Nothing large is
--     joined, as in log/claim.
WITH moment AS MATERIALIZED (
    SELECT gone, upto FROM hostler.feed_moment()
), view AS MATERIALIZED (
    SELECT gone, coalesce($2::text::pg_snapshot, moment.upto) AS upto,
        CASE $1::text
            WHEN '1:1:' THEN replace('n:n:', 'n', greatest(gone::text::numeric + 1, 2)::text)
            ELSE $1
        END::pg_snapshot AS seen
    FROM moment
), tracked AS (
    SELECT position, 0::bigint AS place, task_id, number, state, attempt, at
    FROM hostler.task_events
    WHERE tx >= pg_snapshot_xmin((SELECT seen FROM view))
        AND tx < pg_snapshot_xmax((SELECT view.upto FROM view)) AND position > $3
        AND NOT pg_visible_in_snapshot(tx, (SELECT seen FROM view))
        AND pg_visible_in_snapshot(tx, (SELECT view.upto FROM view))
    ORDER BY position
    LIMIT $5::bigint
), changes AS (
    SELECT log_feed.*
    FROM hostler.log_feed
    WHERE tx >= pg_snapshot_xmin((SELECT seen FROM view))
        AND tx < pg_snapshot_xmax((SELECT view.upto FROM view)) AND position >= $3
        AND NOT pg_visible_in_snapshot(tx, (SELECT seen FROM view))
        AND pg_visible_in_snapshot(tx, (SELECT view.upto FROM view))
    ORDER BY position
    LIMIT $5::bigint + 1
), logged AS (
    SELECT changes.position, told.place, entry.id, changes.step,
        ('{pending,running,completed}'::hostler.task_state[])[changes.step],
        (changes.step > 1)::integer, changes.at
    FROM changes
    CROSS JOIN LATERAL (
        SELECT number, row_number() OVER (ORDER BY number) AS place
        FROM (
            SELECT number
            FROM generate_series(changes.first, changes.last) AS range (number)
            WHERE number <> ALL (changes.passed_over)
            UNION ALL
            SELECT number FROM unnest(changes.numbers) AS one (number)
        ) AS all_numbers
    ) AS told
    CROSS JOIN LATERAL (
        SELECT log_tasks.id
        FROM hostler.log_tasks
        WHERE log_tasks.lane = changes.lane AND log_tasks.number = told.number
        LIMIT 1
    ) AS entry
    WHERE changes.position > $3 OR told.place > $4::bigint
    ORDER BY changes.position, told.place
    LIMIT $5::bigint
), of_hosts AS (
    SELECT position, 0::bigint AS place, host_id, type, fleet, agent, reason, detail, host_events.at
    FROM hostler.host_events
    WHERE tx >= pg_snapshot_xmin((SELECT seen FROM view))
        AND tx < pg_snapshot_xmax((SELECT view.upto FROM view)) AND position > $3
        AND NOT pg_visible_in_snapshot(tx, (SELECT seen FROM view))
        AND pg_visible_in_snapshot(tx, (SELECT view.upto FROM view))
    ORDER BY position
    LIMIT $5::bigint
), steps AS (
    SELECT told.position, told.place, told.task_id, told.number, told.state, told.attempt, told.at,
        NULL::uuid AS host_id, NULL AS type, NULL AS fleet, NULL AS agent, NULL AS reason,
        NULL::jsonb AS detail
    FROM (SELECT * FROM tracked UNION ALL SELECT * FROM logged) AS told
    UNION ALL
    SELECT position, place, NULL, NULL, NULL, NULL, at, host_id, type, fleet, agent, reason, detail
    FROM of_hosts
    ORDER BY position, place
    LIMIT $5::bigint
)
SELECT view.upto::text AS upto, view.seen::text AS seen,
    view.gone >= pg_snapshot_xmin(view.seen) AS is_past,
    steps.position, steps.place, steps.task_id, steps.number, steps.state, steps.attempt, steps.at,
    steps.host_id, steps.type, steps.fleet, steps.agent, steps.reason, steps.detail
FROM view
LEFT JOIN steps ON true
ORDER BY steps.position, steps.place;
