-- queues/oldest: how many milliseconds the oldest task of the queues $1 has waited that could run, of
--     any of them that is not paused; null if none waits. One row. Of each priority the first tasks are
--     looked at: one that is far behind in its line waits no longer than those, unless it is one of many that
--     were tried again.
-- State: none.
-- Locks: none.
-- Index: tasks_pending and tasks_needing, from each priority of a queue to the next, and the row after
--     each cursor of the log: what it costs does not depend on how many wait.
WITH RECURSIVE served AS MATERIALIZED (
    SELECT queues.name
    FROM hostler.queues
    WHERE queues.name = ANY ($1::text[])
        AND NOT (queues.paused AND coalesce(queues.paused_until > now(), true))
), line (queue, needs, priority, place) AS (
    SELECT served.name, kind.needs, 32768, 0
    FROM served
    CROSS JOIN (VALUES (false), (true)) AS kind (needs)
    UNION ALL
    SELECT line.queue, line.needs, next.priority, line.place + 1
    FROM line
    CROSS JOIN LATERAL (
        (
            SELECT tasks.priority::integer AS priority
            FROM hostler.tasks
            WHERE NOT line.needs AND tasks.queue = line.queue AND tasks.state = 'pending'
                AND tasks.lane IS NULL AND tasks.priority < line.priority
            ORDER BY tasks.priority DESC, tasks.id
            LIMIT 1
        )
        UNION ALL
        (
            SELECT tasks.priority::integer
            FROM hostler.tasks
            WHERE line.needs AND tasks.queue = line.queue AND tasks.state = 'pending'
                AND tasks.lane IS NOT NULL AND tasks.priority < line.priority
            ORDER BY tasks.priority DESC, tasks.id
            LIMIT 1
        )
    ) AS next
    WHERE line.place < 64
)
SELECT (1000 * extract(epoch FROM now() - min(waiting.since)))::bigint AS waited_ms
FROM (
    SELECT first.run_at AS since
    FROM line
    CROSS JOIN LATERAL (
        (
            SELECT tasks.run_at
            FROM hostler.tasks
            WHERE NOT line.needs AND tasks.queue = line.queue AND tasks.state = 'pending'
                AND tasks.lane IS NULL AND tasks.priority = line.priority
            ORDER BY tasks.priority DESC, tasks.id
            LIMIT 64
        )
        UNION ALL
        (
            SELECT tasks.run_at
            FROM hostler.tasks
            WHERE line.needs AND tasks.queue = line.queue AND tasks.state = 'pending'
                AND tasks.lane IS NOT NULL AND tasks.priority = line.priority
            ORDER BY tasks.priority DESC, tasks.id
            LIMIT 64
        )
    ) AS first
    UNION ALL
    SELECT next.created_at
    FROM served
    JOIN hostler.log_cursors ON log_cursors.queue = served.name
    CROSS JOIN LATERAL (
        SELECT log_tasks.created_at
        FROM hostler.log_tasks
        WHERE log_tasks.lane = log_cursors.lane AND log_tasks.number = log_cursors.taken + 1
        LIMIT 1
    ) AS next
) AS waiting;
