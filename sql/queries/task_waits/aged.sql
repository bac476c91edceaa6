-- task_waits/aged: up to $2 tasks that have been passed over for $1 milliseconds and still are,
--     with what they need; those that wait longest first.
-- State: none.
-- Locks: none.
-- Index: task_waits_since, tasks_pkey, task_needs_pkey.
SELECT tasks.id, tasks.queue, tasks.priority, aged.since, needed.kinds, needed.names
FROM (
    SELECT task_id, since
    FROM hostler.task_waits
    WHERE since <= now() - $1::bigint * interval '1 millisecond' AND until > now()
    ORDER BY since, task_id
    LIMIT $2::bigint
) AS aged
CROSS JOIN LATERAL (
    SELECT id, queue, priority
    FROM hostler.tasks
    WHERE tasks.id = aged.task_id AND tasks.state IS NOT DISTINCT FROM 'pending'
) AS tasks
CROSS JOIN LATERAL (
    SELECT array_agg(kind) AS kinds, array_agg(name) AS names
    FROM hostler.task_needs
    WHERE task_needs.task_id = tasks.id
) AS needed
ORDER BY aged.since, tasks.id;
