-- queues/oldest: how many milliseconds the oldest task of the queues $1 has waited that could run, of
--     any of them that is not paused; null if none waits. One row.
-- State: none.
-- Locks: none.
-- Index: tasks_pending and tasks_needing, once per queue, and the row after each cursor of the log:
--     what it costs does not depend on how many wait.
SELECT (1000 * extract(epoch FROM now() - min(waiting.since)))::bigint AS waited_ms
FROM hostler.queues
CROSS JOIN LATERAL (
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
WHERE queues.name = ANY ($1)
    AND NOT (queues.paused AND coalesce(queues.paused_until > now(), true));
