-- tasks/candidates: tasks of the queues $1, of priority $6 and higher, that wait to begin, for $2
--     agents: the first of each queue that need nothing; the first of each of $4 lanes of each queue,
--     from the lanes $3 on, one per queue; and, unless these are all, the first $5 of each queue that
--     need something. Returns them with what they need, and some of them twice.
-- State: none.
-- Locks: none.
-- Index: tasks_pending and tasks_needing, once per queue; tasks_lanes, once or twice per lane: from
--     each lane to the next, whatever number of tasks stands in it; task_needs_pkey.
WITH RECURSIVE served AS MATERIALIZED (
    SELECT given.name, given.first_lane
    FROM unnest($1::text[], $3::bigint[]) AS given (name, first_lane)
    CROSS JOIN LATERAL (
        SELECT FROM hostler.queues
        WHERE queues.name = given.name AND (NOT queues.paused OR queues.paused_until <= now())
    ) AS open
), lanes (queue, lane, place) AS (
    SELECT served.name, nearest.lane, 1
    FROM served
    CROSS JOIN LATERAL (
        SELECT tasks.lane
        FROM hostler.tasks
        WHERE tasks.queue = served.name AND tasks.state = 'pending'
            AND tasks.lane >= served.first_lane
        ORDER BY tasks.lane
        LIMIT 1
    ) AS nearest
    UNION ALL
    SELECT lanes.queue, nearest.lane, lanes.place + 1
    FROM lanes
    CROSS JOIN LATERAL (
        SELECT tasks.lane
        FROM hostler.tasks
        WHERE tasks.queue = lanes.queue AND tasks.state = 'pending' AND tasks.lane > lanes.lane
        ORDER BY tasks.lane
        LIMIT 1
    ) AS nearest
    WHERE lanes.place < $4::integer
), found (id, queue, priority, lane, by_lane) AS (
    SELECT best.id, lanes.queue, best.priority, lanes.lane, true
    FROM lanes
    CROSS JOIN LATERAL (
        SELECT tasks.id, tasks.priority
        FROM hostler.tasks
        WHERE tasks.queue = lanes.queue AND tasks.state = 'pending' AND tasks.lane = lanes.lane
            AND tasks.priority >= $6::smallint
        ORDER BY tasks.priority DESC, tasks.id
        -- Few lanes are looked into deeply, many are not.
        LIMIT greatest(1, least($2::integer, 4 * $5::integer / (SELECT count(*) FROM lanes)))
    ) AS best
    UNION ALL
    SELECT best.id, served.name, best.priority, best.lane, false
    FROM served
    CROSS JOIN LATERAL (
        SELECT tasks.id, tasks.priority, tasks.lane
        FROM hostler.tasks
        WHERE tasks.queue = served.name AND tasks.state = 'pending' AND tasks.lane IS NOT NULL
            AND tasks.priority >= $6
        ORDER BY tasks.priority DESC, tasks.id
        -- Where every lane is looked into as far as there are agents, that is all there is.
        LIMIT CASE
            WHEN (SELECT count(*) FROM lanes) BETWEEN 1 AND least($4 - 1, 4 * $5 / $2)
                AND (SELECT max(first_lane) FROM served) = -9223372036854775808
            THEN 0
            ELSE $5
        END
    ) AS best
    UNION ALL
    SELECT best.id, served.name, best.priority, NULL, false
    FROM served
    CROSS JOIN LATERAL (
        SELECT tasks.id, tasks.priority
        FROM hostler.tasks
        WHERE tasks.queue = served.name AND tasks.state = 'pending' AND tasks.lane IS NULL
            AND tasks.priority >= $6
        ORDER BY tasks.priority DESC, tasks.id
        LIMIT $2
    ) AS best
)
SELECT found.id, found.queue, found.priority, found.lane, found.by_lane, needed.kinds, needed.names
FROM found
LEFT JOIN LATERAL (
    SELECT array_agg(task_needs.kind) AS kinds, array_agg(task_needs.name) AS names
    FROM hostler.task_needs
    WHERE task_needs.task_id = found.id AND found.lane IS NOT NULL
) AS needed ON true;
