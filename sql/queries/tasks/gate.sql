-- tasks/gate: whether it is worth to choose among tasks of the queues $1 for fleet $2, before the
--     lock of task_holds/take_turns is asked for. Returns one row: the queues of which a plain claim
--     gives nothing because something is limited; whether a task waits that only tasks/begin
--     gives out; and the milliseconds until the next pause ends.
-- State: none.
-- Locks: none.
-- Index: tasks_needing and tasks_pending, once per queue, and no further than to the first,
--     log_cursors is small; log_tasks_pkey, one look for each.
WITH ruled AS MATERIALIZED (
    SELECT queues.name, queues.paused AND coalesce(queues.paused_until > now(), true) AS paused,
        queues.paused_until,
        queues.limited OR EXISTS (
            SELECT FROM hostler.limits
            WHERE limits.limited
                AND (limits.scope = 'all' OR limits.scope = 'fleet' AND limits.name = $2)
        ) OR EXISTS (
            SELECT FROM hostler.queues AS weighed
            WHERE weighed.name = ANY ($1::text[]) AND weighed.weight <> 1
        ) AS limited
    FROM hostler.queues
    WHERE queues.name = ANY ($1::text[])
)
SELECT ARRAY(SELECT ruled.name FROM ruled WHERE ruled.limited ORDER BY 1) AS limited,
    EXISTS (
        SELECT FROM ruled
        CROSS JOIN LATERAL (
            SELECT tasks.id
            FROM hostler.tasks
            WHERE tasks.queue = ruled.name AND tasks.state = 'pending' AND tasks.lane IS NOT NULL
            ORDER BY tasks.priority DESC, tasks.id
            LIMIT 1
        ) AS needing
        WHERE NOT ruled.paused
    ) OR EXISTS (
        SELECT FROM ruled
        CROSS JOIN LATERAL (
            SELECT tasks.id
            FROM hostler.tasks
            WHERE tasks.queue = ruled.name AND tasks.state = 'pending' AND tasks.lane IS NULL
            ORDER BY tasks.priority DESC, tasks.id
            LIMIT 1
        ) AS plain
        WHERE ruled.limited AND NOT ruled.paused
    ) OR EXISTS (
        SELECT FROM ruled
        JOIN hostler.log_cursors ON log_cursors.queue = ruled.name
        CROSS JOIN LATERAL (
            SELECT log_tasks.number
            FROM hostler.log_tasks
            WHERE log_tasks.lane = log_cursors.lane AND log_tasks.number = log_cursors.taken + 1
            LIMIT 1
        ) AS next
        WHERE ruled.limited AND NOT ruled.paused
    ) AS waiting,
    (
        SELECT ceil(1000 * extract(epoch FROM min(ruled.paused_until) - now()))
        FROM ruled WHERE ruled.paused
    )::bigint AS resumes_ms;
