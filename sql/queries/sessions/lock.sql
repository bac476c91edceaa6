-- sessions/lock: session $1 and its state, held for a change. No row if it is unknown.
-- State: none.
-- Locks: the row; waits for those who store something.
-- Index: sessions_id_key.
SELECT no, state FROM hostler.sessions WHERE id = $1 FOR UPDATE;
