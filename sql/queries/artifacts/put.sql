-- artifacts/put: keep the artifact $2 of session number $1: type $3, name $4, format $5, of task $6,
--     metadata $7, of $8 bytes, as of $9 or now. One of the same id is replaced, its content is deleted. Its
--     heading is kept as the piece -1. Returns its number, and whether it was made.
-- State: none.
-- Locks: the row; the caller holds the session.
-- Index: artifacts_by_name, session_texts_pkey.
WITH former AS MATERIALIZED (
    SELECT id FROM hostler.artifacts WHERE session_no = $1 AND name = $2
), gone AS (
    DELETE FROM hostler.session_texts WHERE item_id IN (SELECT id FROM former) RETURNING item_id
), kept AS (
    INSERT INTO hostler.artifacts (
        session_no, name, type, title, format, task, metadata, size, created_at, changed_at
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()), coalesce($9, now()))
    ON CONFLICT (session_no, name) DO UPDATE
    SET id = nextval('hostler.session_items'), type = EXCLUDED.type, title = EXCLUDED.title,
        format = EXCLUDED.format, task = EXCLUDED.task, metadata = EXCLUDED.metadata,
        size = EXCLUDED.size, changed_at = EXCLUDED.changed_at
    RETURNING id, xmax = 0 AS created
), heading AS (
    INSERT INTO hostler.session_texts (item_id, part, session_no, content)
    SELECT id, -1, $1, concat_ws(E'\n', $4::text, $2::text, $3::text) FROM kept
    RETURNING item_id
)
SELECT id, created FROM kept;
