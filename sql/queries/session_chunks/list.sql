-- session_chunks/list: up to $4 chunks of session $1, newest first: chunk $2 alone, or those before number
--     $3; where null, any. No row if the session is unknown; a row without a name if there are none.
-- State: none.
-- Locks: none.
-- Index: sessions_id_key, session_chunks_by_name, session_chunks_newest.
SELECT chunk.id, chunk.name, chunk.format, chunk.size, chunk.started_at, chunk.ended_at,
    chunk.participants, chunk.extracted, chunk.metadata, chunk.created_at, chunk.changed_at
FROM hostler.sessions AS session
LEFT JOIN LATERAL (
    SELECT * FROM hostler.session_chunks AS one
    WHERE one.session_no = session.no AND ($2::text IS NULL OR one.name = $2)
        AND one.id < coalesce($3, 9223372036854775807)
    ORDER BY one.id DESC
    LIMIT $4
) AS chunk ON true
WHERE session.id = $1
ORDER BY chunk.id DESC;
