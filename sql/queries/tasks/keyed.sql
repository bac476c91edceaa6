-- tasks/keyed: which of the idempotency keys $1 have a task.
-- State: none.
-- Locks: none.
-- Index: tasks_idempotency_key.
SELECT idempotency_key FROM hostler.tasks WHERE idempotency_key = ANY ($1::text[]);
