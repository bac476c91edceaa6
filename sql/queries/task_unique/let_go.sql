-- task_unique/let_go: forget the keys of the tasks $1, which were not made after all.
-- State: none.
-- Locks: the keys' rows, which the transaction has locked before.
-- Index: task_unique_by_task.
DELETE FROM hostler.task_unique WHERE task_id = ANY ($1::uuid[]);
