-- dependents/nodes: the tasks $1 as nodes of a graph, in the order of their ids.
-- State: none.
-- Locks: none.
-- Index: tasks_pkey, dependents_pkey; log_tasks_id.
SELECT tasks.id, tasks.queue, tasks.kind, tasks.state, dependents.policy,
    CASE WHEN tasks.state = 'blocked' THEN dependents.open END AS open, dependents.stopped_by
FROM hostler.tasks
LEFT JOIN hostler.dependents ON dependents.task_id = tasks.id
WHERE tasks.id = ANY ($1::uuid[])
UNION ALL
SELECT record.id, record.queue, record.kind, record.state, NULL, NULL, NULL
FROM hostler.log_records AS record
WHERE record.id = ANY ($1::uuid[])
ORDER BY id;
