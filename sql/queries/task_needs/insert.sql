-- task_needs/insert: what new tasks need: tasks $1, kinds $2, names $3, one need a row.
-- State: none. In the transaction that inserts the tasks, whose lanes say that there is something.
-- Locks: none.
-- Index: task_needs_pkey.
INSERT INTO hostler.task_needs (task_id, kind, name)
SELECT task_id, kind, name
FROM unnest($1::uuid[], $2::hostler.need_kind[], $3::text[]) AS given (task_id, kind, name);
