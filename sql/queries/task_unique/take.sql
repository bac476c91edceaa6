-- task_unique/take: take the keys $2 of the queues $1 in hand, each once, and give those that are
--     nobody's to the tasks $3, which are kept for at least $4 milliseconds (or as others). Returns who has each, whether that is new, and the server's time.
-- State: none.
-- Locks: the keys' rows, in the order of queues and keys, until the transaction ends: submits of
--     one key take turns, and two batches never wait for each other in a circle. The update of a
--     row that is there changes nothing; it makes the row visible, whenever it was committed.
-- Index: task_unique_pkey.
INSERT INTO hostler.task_unique AS taken (queue, key, task_id, kept_until)
SELECT queue, key, task_id, now() + kept_ms * interval '1 millisecond'
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[]) AS given (queue, key, task_id, kept_ms)
ORDER BY queue COLLATE "C", key COLLATE "C"
ON CONFLICT (queue, key) DO UPDATE SET key = EXCLUDED.key
-- A row that this statement inserted has no xmax; one that it found has, for it is locked.
RETURNING queue, key, task_id, xmax = 0 AS is_new, now() AS at;
