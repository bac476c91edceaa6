-- artifacts/list: up to $5 artifacts of session $1, newest first: artifact $2 alone, or those of type $3 and
--     before number $4; where null, any. No row if the session is unknown; a row without a name if there are
--     none.
-- State: none.
-- Locks: none.
-- Index: sessions_id_key, artifacts_by_name, artifacts_newest.
SELECT artifact.id, artifact.name, artifact.type, artifact.title, artifact.format, artifact.size,
    artifact.task, artifact.metadata, artifact.created_at, artifact.changed_at
FROM hostler.sessions AS session
LEFT JOIN LATERAL (
    SELECT * FROM hostler.artifacts AS one
    WHERE one.session_no = session.no AND ($2::text IS NULL OR one.name = $2)
        AND ($3::text IS NULL OR one.type = $3) AND one.id < coalesce($4, 9223372036854775807)
    ORDER BY one.id DESC
    LIMIT $5
) AS artifact ON true
WHERE session.id = $1
ORDER BY artifact.id DESC;
