-- session_chunks/put: keep the chunk $2 of session number $1: format $3, from $4 to $5, participants $6,
--     extracted items $7, metadata $8, of $9 bytes, as of $10 or now. One of the same name is replaced, its
--     content is deleted. Returns its number, and whether it was made.
-- State: none.
-- Locks: the row; the caller holds the session.
-- Index: session_chunks_by_name, session_texts_pkey.
WITH former AS MATERIALIZED (
    SELECT id FROM hostler.session_chunks WHERE session_no = $1 AND name = $2
), gone AS (
    DELETE FROM hostler.session_texts WHERE item_id IN (SELECT id FROM former) RETURNING item_id
)
INSERT INTO hostler.session_chunks AS chunk (
    session_no, name, format, started_at, ended_at, participants, extracted, metadata, size, created_at,
    changed_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, now()), coalesce($10, now()))
ON CONFLICT (session_no, name) DO UPDATE
SET id = nextval('hostler.session_items'), format = EXCLUDED.format,
    started_at = EXCLUDED.started_at, ended_at = EXCLUDED.ended_at,
    participants = EXCLUDED.participants, extracted = EXCLUDED.extracted, metadata = EXCLUDED.metadata,
    size = EXCLUDED.size, changed_at = EXCLUDED.changed_at
RETURNING id, xmax = 0 AS created;
