-- task_needs/forget: the tasks $1 need nothing any more; what they need instead is inserted next.
-- State: none. In the transaction that has locked the tasks and writes their new lanes.
-- Locks: the rows.
-- Index: task_needs_pkey.
DELETE FROM hostler.task_needs WHERE task_id = ANY ($1::uuid[]);
