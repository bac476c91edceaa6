-- task_holds/held: what every running task holds, one row a task.
-- State: none.
-- Locks: none.
-- Index: task_holds_pkey, the whole of it: it has what runs just now.
SELECT task_id, queue, min(since) AS since, array_agg(kind) AS kinds, array_agg(name) AS names
FROM hostler.task_holds
GROUP BY task_id, queue;
