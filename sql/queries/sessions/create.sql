-- sessions/create: make the session $1: title $2, context $3, participants $4, metadata $5. One that was
--     brought along is in state $6, was made at $7, completed at $8 and last changed at $9; a new one is made
--     now. No row if it is there already.
-- State: none -> $6, active where null.
-- Locks: none.
-- Index: sessions_id_key.
INSERT INTO hostler.sessions (
    id, title, context, participants, metadata, state, created_at, changed_at, completed_at
)
VALUES (
    $1, $2, $3, $4, $5, coalesce($6::hostler.session_state, 'active'), coalesce($7::timestamptz, now()),
    coalesce($9::timestamptz, $7, now()),
    CASE WHEN $6 = 'completed' THEN coalesce($8::timestamptz, $7, now()) END
)
ON CONFLICT (id) DO NOTHING
RETURNING no;
