-- history/log_take: lock the plain tasks $2 of lane $1, and return those that it got.
-- State: none.
-- Locks: the tasks, SKIP LOCKED: one that somebody comes to depend on in this moment is left.
-- Index: log_tasks_pkey, by the list of numbers.
SELECT number
FROM hostler.log_tasks
WHERE lane = $1 AND number = ANY ($2::bigint[])
ORDER BY number
FOR UPDATE SKIP LOCKED;
