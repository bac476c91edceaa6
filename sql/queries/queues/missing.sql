-- queues/missing: which of the names $1 are no queues.
-- State: none.
-- Locks: none.
-- Index: queues_pkey.
SELECT given.name
FROM unnest($1::text[]) AS given (name)
WHERE NOT EXISTS (SELECT FROM hostler.queues WHERE queues.name = given.name);
