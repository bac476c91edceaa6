-- tasks/pending_queues: the queues of those of the tasks $1 that are pending.
-- State: none.
-- Locks: none.
-- Index: tasks_pkey.
SELECT DISTINCT queue
FROM hostler.tasks
WHERE id = ANY ($1::uuid[]) AND state = 'pending';
