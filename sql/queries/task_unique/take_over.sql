-- task_unique/take_over: give the keys $2 of the queues $1 to the tasks $3, in the place of those
--     that had them.
-- State: none.
-- Locks: the keys' rows, which the transaction has locked before.
-- Index: task_unique_pkey, by a lookup for each.
UPDATE hostler.task_unique
SET task_id = given.task_id
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS given (queue, key, task_id)
WHERE task_unique.queue = given.queue AND task_unique.key = given.key;
