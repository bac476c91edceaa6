-- sessions/number: the number of session $1. No row if it is unknown.
-- State: none.
-- Locks: none.
-- Index: sessions_id_key.
SELECT no FROM hostler.sessions WHERE id = $1;
