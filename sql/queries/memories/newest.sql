-- memories/newest: up to $4 memories of session $1, newest first: of the types $2, and before number $3.
--     No row if the session is unknown; a row without a key if there are none.
-- State: none.
-- Locks: none.
-- Index: sessions_id_key; memories_newest, once per type, each read from its newest end. A type is a range
--     of one: were it an equation, all of a session might be read by their ids.
SELECT memory.id, memory.key, memory.type, memory.content, memory.tags, memory.created_at,
    memory.changed_at, NULL::real AS rank, NULL::text AS highlight
FROM hostler.sessions AS session
LEFT JOIN LATERAL (
    SELECT newest.*
    FROM unnest($2::text[]) AS wanted (type)
    CROSS JOIN LATERAL (
        SELECT * FROM hostler.memories AS one
        WHERE one.session_no = session.no AND one.type >= wanted.type
            AND (one.type, one.id) < (wanted.type, coalesce($3, 9223372036854775807))
        ORDER BY one.type DESC, one.id DESC
        LIMIT $4
    ) AS newest
    ORDER BY newest.id DESC
    LIMIT $4
) AS memory ON true
WHERE session.id = $1
ORDER BY memory.id DESC;
