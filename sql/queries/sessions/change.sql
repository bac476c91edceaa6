-- sessions/change: session number $1, which is locked, gets title $2, context $3, participants $4 and
--     metadata $5; what is null stays.
-- State: none.
-- Locks: the row.
-- Index: sessions_pkey.
UPDATE hostler.sessions
SET title = coalesce($2, title), context = coalesce($3, context),
    participants = coalesce($4, participants), metadata = coalesce($5, metadata), changed_at = now()
WHERE no = $1
RETURNING no;
