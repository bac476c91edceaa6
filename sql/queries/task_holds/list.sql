-- task_holds/list: what is held, by which task, and who runs it; by name.
-- State: none.
-- Locks: none.
-- Index: task_holds_pkey, the whole of it: it has what runs just now; tasks_pkey.
SELECT task_holds.kind, task_holds.name, task_holds.task_id, task_holds.queue, task_holds.since,
    tasks.agent, tasks.host_id
FROM hostler.task_holds
JOIN hostler.tasks ON tasks.id = task_holds.task_id
ORDER BY task_holds.kind, task_holds.name, task_holds.since, task_holds.task_id;
