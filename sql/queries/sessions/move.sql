-- sessions/move: session number $1, which is locked, comes to state $2.
-- State: active, paused -> active, paused, completed.
-- Locks: the row.
-- Index: sessions_pkey.
UPDATE hostler.sessions
SET state = $2::hostler.session_state, changed_at = now(), completed_at = CASE WHEN $2::hostler.session_state = 'completed' THEN now() END
WHERE no = $1
RETURNING no;
