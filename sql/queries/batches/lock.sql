-- batches/lock: whether the batches $1 are open. No row for one that is not there.
-- State: none.
-- Locks: the batches, in the order of their ids, until the transaction ends: none is closed
--     meanwhile. The tasks of the transaction are locked before.
-- Index: batches_pkey.
SELECT id, closed_at IS NULL AS is_open
FROM hostler.batches
WHERE id = ANY ($1::uuid[])
ORDER BY id
FOR UPDATE;
