-- memories/get: the memory of session $1 under key $2. No row if the session is unknown; a row without a
--     key if the memory is.
-- State: none.
-- Locks: none.
-- Index: sessions_id_key, memories_by_key.
SELECT memory.id, memory.key, memory.type, memory.content, memory.tags, memory.created_at,
    memory.changed_at, NULL::real AS rank, NULL::text AS highlight
FROM hostler.sessions AS session
LEFT JOIN LATERAL (
    SELECT * FROM hostler.memories WHERE session_no = session.no AND memories.key = $2
) AS memory ON true
WHERE session.id = $1;
