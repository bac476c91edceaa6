-- queues/exists: whether there is a queue $1.
-- State: none.
-- Locks: none.
-- Index: queues_pkey.
SELECT EXISTS (SELECT FROM hostler.queues WHERE name = $1) AS is_there;
