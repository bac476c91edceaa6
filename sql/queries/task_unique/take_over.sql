-- task_unique/take_over: give the keys $2 of the queues $1 to the tasks $3, in the place of those
--     that had them; they are kept for at least $4 milliseconds (or as others).
-- State: none.
-- Locks: the keys' rows, which the transaction has locked before.
-- Index: task_unique_pkey, by a lookup for each.
UPDATE hostler.task_unique
SET task_id = given.task_id, kept_until = now() + given.kept_ms * interval '1 millisecond'
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[]) AS given (queue, key, task_id, kept_ms)
WHERE task_unique.queue = given.queue AND task_unique.key = given.key;
