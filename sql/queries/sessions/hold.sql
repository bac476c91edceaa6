-- sessions/hold: session $1 and its state, held so that nobody changes its state or deletes it. No row if
--     it is unknown.
-- State: none.
-- Locks: the row, shared with all who store something.
-- Index: sessions_id_key.
SELECT no, state FROM hostler.sessions WHERE id = $1 FOR SHARE;
