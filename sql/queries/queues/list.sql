-- queues/list: every queue with its limits, how many of its tasks are in each state that is not
--     final, and the milliseconds that its oldest pending task could have run. One row per queue and
--     state, and one with no state for a queue without such tasks.
-- State: none.
-- Locks: none.
-- Index: tasks_listed, tasks_pending and tasks_needing, once per queue, and without the table where
--     it has been vacuumed. What has finished costs nothing; a deep backlog is counted.
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
