-- session_chunks/size: the content of chunk number $1 has come to its end, with $2 bytes.
-- State: none.
-- Locks: the row.
-- Index: session_chunks_pkey.
UPDATE hostler.session_chunks SET size = $2 WHERE id = $1 RETURNING id;
