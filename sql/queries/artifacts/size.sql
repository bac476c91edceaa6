-- artifacts/size: the content of artifact number $1 has come to its end, with $2 bytes.
-- State: none.
-- Locks: the row.
-- Index: artifacts_pkey.
UPDATE hostler.artifacts SET size = $2 WHERE id = $1 RETURNING id;
