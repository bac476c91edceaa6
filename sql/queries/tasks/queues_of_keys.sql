-- tasks/queues_of_keys: the queues of the tasks that have one of the idempotency keys $1, each once.
-- State: none.
-- Locks: none.
-- Index: tasks_idempotency_key.
SELECT DISTINCT queue FROM hostler.tasks WHERE idempotency_key = ANY ($1::text[]);
