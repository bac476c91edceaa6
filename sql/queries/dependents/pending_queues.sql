-- dependents/pending_queues: the queues of pending tasks that depend on one of the tasks $1.
-- State: none.
-- Locks: none.
-- Index: dependencies_on, tasks_pkey.
SELECT DISTINCT tasks.queue
FROM hostler.tasks
WHERE tasks.state = 'pending' AND tasks.id = ANY (ARRAY(
    SELECT task_id FROM hostler.dependencies WHERE depends_on = ANY ($1::uuid[])
));
