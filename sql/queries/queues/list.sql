-- queues/list: every queue with the number of its tasks in each state that is not final, and the
--     milliseconds that its oldest pending task could have run. One row per queue and state, and
--     one with no state for a queue without such tasks.
-- State: none.
-- Locks: none.
-- Index: tasks_listed and tasks_pending, once per queue, and without the table where it has been
--     vacuumed. What has finished costs nothing; a deep backlog is counted, but not that of the log.
SELECT queues.name, queues.description, queues.paused, queues.paused_reason,
    depth.state, depth.tasks, oldest.waited_ms
FROM hostler.queues
LEFT JOIN LATERAL (
    SELECT counted.state, sum(counted.tasks)::bigint AS tasks
    FROM (
        SELECT tasks.state, count(*) AS tasks
        FROM hostler.tasks
        WHERE tasks.queue = queues.name
            AND tasks.state IN ('blocked', 'scheduled', 'pending', 'running', 'awaiting_input')
        GROUP BY tasks.state
        UNION ALL
        SELECT 'pending', log_lanes.head - log_cursors.taken - (
            SELECT count(*)
            FROM hostler.log_ends
            WHERE log_ends.lane = log_lanes.id AND log_ends.number > log_cursors.taken
        )
        FROM hostler.log_lanes
        JOIN hostler.log_cursors ON log_cursors.lane = log_lanes.id
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
        WHERE tasks.queue = queues.name AND tasks.state = 'pending'
        UNION ALL
        SELECT next.created_at
        FROM hostler.log_cursors
        JOIN hostler.log_tasks AS next
            ON next.lane = log_cursors.lane AND next.number = log_cursors.taken + 1
        WHERE log_cursors.queue = queues.name
    ) AS waiting
) AS oldest ON true
ORDER BY queues.name, depth.state;
