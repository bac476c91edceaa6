-- key_pauses/set: hold back the tasks with the keys that $1 means, for reason $2, until time $3, or for
--     $4 milliseconds; until they are resumed if both are null. Returns the pause.
-- State: none: what runs goes on.
-- Locks: the row.
-- Index: key_pauses_pkey.
INSERT INTO hostler.key_pauses (pattern, reason, until)
VALUES ($1, $2, coalesce($3, now() + $4::bigint * interval '1 millisecond'))
ON CONFLICT (pattern) DO UPDATE
SET reason = EXCLUDED.reason, until = EXCLUDED.until, since = now()
RETURNING pattern, reason, since, until;
