-- task_holds/held: what every running task holds, and who has the task, one row a task.
-- State: none.
-- Locks: none.
-- Index: task_holds_pkey, the whole of it: it has what runs just now; tasks_pkey, a probe for each.
SELECT held.task_id, held.queue, held.since, held.kinds, held.names, has.host_id, has.agent
FROM (
    SELECT task_id, queue, min(since) AS since, array_agg(kind) AS kinds, array_agg(name) AS names
    FROM hostler.task_holds
    GROUP BY task_id, queue
) AS held
LEFT JOIN LATERAL (
    SELECT tasks.host_id, tasks.agent FROM hostler.tasks WHERE tasks.id = held.task_id
) AS has ON true;
