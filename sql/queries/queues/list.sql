-- queues/list: every queue with its limits, how many of its tasks are in each state that is not
--     final, and the milliseconds that its oldest pending task could have run. One row per queue and
--     state, and one with no state for a queue without such tasks.
-- State: none.
-- Locks: none.
-- Index: tasks_listed, tasks_pending and tasks_needing, once per queue, and without the table where
--     it has been vacuumed. What has finished costs nothing; a deep backlog is counted, but not that
--     of the log.
SELECT queues.name, queues.description, pause.holds AS paused,
    CASE WHEN pause.holds THEN queues.paused_reason END AS paused_reason,
    CASE WHEN pause.holds THEN queues.paused_until END AS paused_until,
    queues.concurrency, queues.rate_count, queues.rate_per_ms, queues.key_concurrency,
    queues.key_rate_count, queues.key_rate_per_ms, queues.weight, queues.fair,
    depth.state, depth.tasks, oldest.waited_ms
FROM hostler.queues
CROSS JOIN LATERAL (
    SELECT queues.paused AND coalesce(queues.paused_until > now(), true) AS holds
) AS pause
LEFT JOIN LATERAL (
    SELECT counted.state, sum(counted.tasks)::bigint AS tasks
    FROM (
        SELECT tasks.state, count(*) AS tasks
        FROM hostler.tasks
        WHERE tasks.queue = queues.name
            AND tasks.state IN ('blocked', 'scheduled', 'pending', 'running', 'awaiting_input')
        GROUP BY tasks.state
        UNION ALL
        SELECT 'pending', newest.number - log_cursors.taken - (
            SELECT count(*)
            FROM hostler.log_ends
            WHERE log_ends.lane = log_lanes.id AND log_ends.number > log_cursors.taken
        )
        FROM hostler.log_lanes
        JOIN hostler.log_cursors ON log_cursors.lane = log_lanes.id
        CROSS JOIN LATERAL (
            SELECT log_tasks.number
            FROM hostler.log_tasks
            WHERE log_tasks.lane = log_lanes.id AND log_tasks.number > log_cursors.taken
            ORDER BY log_tasks.number DESC
            LIMIT 1
        ) AS newest
        WHERE log_lanes.queue = queues.name
        UNION ALL
        SELECT 'running', log_claims.last - log_claims.first + 1 - (
            SELECT count(*)
            FROM hostler.log_ends
            WHERE log_ends.lane = log_claims.lane
                AND log_ends.number BETWEEN log_claims.first AND log_claims.last
        )
        FROM hostler.log_lanes
        JOIN hostler.log_claims ON log_claims.lane = log_lanes.id
        WHERE log_lanes.queue = queues.name
    ) AS counted
    WHERE counted.tasks > 0
    GROUP BY counted.state
) AS depth ON true
LEFT JOIN LATERAL (
    SELECT (1000 * extract(epoch FROM now() - min(waiting.since)))::bigint AS waited_ms
    FROM (
        SELECT min(tasks.run_at) AS since
        FROM hostler.tasks
        WHERE tasks.queue = queues.name AND tasks.state = 'pending' AND tasks.lane IS NULL
        UNION ALL
        SELECT min(tasks.run_at)
        FROM hostler.tasks
        WHERE tasks.queue = queues.name AND tasks.state = 'pending' AND tasks.lane IS NOT NULL
        UNION ALL
        SELECT next.created_at
        FROM hostler.log_cursors
        JOIN hostler.log_tasks AS next
            ON next.lane = log_cursors.lane AND next.number = log_cursors.taken + 1
        WHERE log_cursors.queue = queues.name
    ) AS waiting
) AS oldest ON true
ORDER BY queues.name, depth.state;
