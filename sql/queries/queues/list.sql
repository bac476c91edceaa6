-- queues/list: every queue with the number of its tasks in each state that is not final, and the
--     milliseconds that its oldest pending task could have run. One row per queue and state, and
--     one with no state for a queue without such tasks.
-- State: none.
-- Locks: none.
-- Index: tasks_listed, tasks_pending and tasks_needing, once per queue, and without the table where it has been
--     vacuumed. What has finished costs nothing; a deep backlog is counted.
SELECT queues.name, queues.description, queues.paused, queues.paused_reason,
    depth.state, depth.tasks, oldest.waited_ms
FROM hostler.queues
LEFT JOIN LATERAL (
    SELECT tasks.state, count(*) AS tasks
    FROM hostler.tasks
    WHERE tasks.queue = queues.name
        AND tasks.state IN ('blocked', 'scheduled', 'pending', 'running', 'awaiting_input')
    GROUP BY tasks.state
) AS depth ON true
LEFT JOIN LATERAL (
    SELECT (1000 * extract(epoch FROM now() - least(
        (
            SELECT min(tasks.run_at)
            FROM hostler.tasks
            WHERE tasks.queue = queues.name AND tasks.state = 'pending' AND tasks.lane IS NULL
        ), (
            SELECT min(tasks.run_at)
            FROM hostler.tasks
            WHERE tasks.queue = queues.name AND tasks.state = 'pending' AND tasks.lane IS NOT NULL
        )
    )))::bigint AS waited_ms
) AS oldest ON true
ORDER BY queues.name, depth.state;
