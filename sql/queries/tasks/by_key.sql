-- tasks/by_key: the tasks that have the keys $1.
-- State: none.
-- Locks: none.
-- Index: tasks_idempotency_key.
SELECT idempotency_key, id
FROM hostler.tasks
WHERE idempotency_key = ANY ($1::text[]) AND idempotency_key IS NOT NULL;
