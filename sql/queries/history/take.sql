-- history/take: lock those of the tasks $1 that are as they were found (versions $2), and return them.
-- State: none.
-- Locks: the tasks, SKIP LOCKED: one that somebody else has in hand is left for another time.
-- Index: tasks_pkey, by the list of ids.
SELECT id
FROM hostler.tasks
WHERE id = ANY ($1::uuid[])
    AND version = ($2::integer[])[width_bucket(id, $1::uuid[])]
    AND state IN ('completed', 'failed', 'cancelled')
ORDER BY id
FOR UPDATE SKIP LOCKED;
