-- artifacts/list: up to $5 artifacts of session $1, newest first: artifact $2 alone, or those of type $3, before
--     number $4, whose content, name, id or type fits the words $6 (none if these say nothing), of task $7, written
--     at $8 or later and before $9; where null, any. No row if the session is unknown; a row without a name if
--     there are none.
-- State: none.
-- Locks: none.
-- Index: sessions_id_key, artifacts_by_name, artifacts_newest; session_texts_search where there are words.
WITH session AS MATERIALIZED (
    SELECT no FROM hostler.sessions WHERE id = $1
), wanted AS MATERIALIZED (
    SELECT ('''' || E'\x01' || session.no || '''')::tsquery && words.query AS narrowed
    FROM session
    CROSS JOIN (SELECT websearch_to_tsquery('english', $6::text) AS query) AS words
    WHERE numnode(words.query) > 0
), fits AS MATERIALIZED (
    SELECT item_id FROM hostler.session_texts WHERE search @@ (SELECT narrowed FROM wanted)
)
SELECT artifact.id, artifact.name, artifact.type, artifact.title, artifact.format, artifact.size,
    artifact.task, artifact.metadata, artifact.created_at, artifact.changed_at
FROM session
LEFT JOIN LATERAL (
    SELECT * FROM hostler.artifacts AS one
    WHERE one.session_no = session.no AND ($2::text IS NULL OR one.name = $2)
        AND ($3::text IS NULL OR one.type = $3) AND one.id < coalesce($4, 9223372036854775807)
        AND ($6 IS NULL OR one.id IN (SELECT item_id FROM fits))
        AND ($7::text IS NULL OR one.task = $7)
        AND ($8::timestamptz IS NULL OR one.changed_at >= $8)
        AND ($9::timestamptz IS NULL OR one.changed_at < $9)
    ORDER BY one.id DESC
    LIMIT $5
) AS artifact ON true
ORDER BY artifact.id DESC;
