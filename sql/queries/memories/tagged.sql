-- memories/tagged: up to $5 memories of session $1, newest first: with all the tags $2, of the types $3,
--     and before number $4. No row if the session is unknown; a row without a key if there are none.
-- State: none.
-- Locks: none.
-- Index: sessions_id_key; memory_tags_pkey, read from the newest end of the rarest of the tags (up to a
--     thousand of each are counted for that); memories_pkey.
SELECT memory.id, memory.key, memory.type, memory.content, memory.tags, memory.created_at,
    memory.changed_at, NULL::real AS rank, NULL::text AS highlight
FROM hostler.sessions AS session
LEFT JOIN LATERAL (
    SELECT word AS tag
    FROM unnest($2::text[]) AS word
    ORDER BY CASE WHEN cardinality($2) > 1 THEN (
        SELECT count(*) FROM (
            SELECT FROM hostler.memory_tags
            WHERE session_no = session.no AND memory_tags.tag = word LIMIT 1000
        ) AS counted
    ) END
    LIMIT 1
) AS rarest ON true
LEFT JOIN LATERAL (
    SELECT one.*
    FROM (
        SELECT memory_id FROM hostler.memory_tags
        WHERE session_no = session.no AND memory_tags.tag = rarest.tag
            AND memory_id < coalesce($4, 9223372036854775807)
        ORDER BY memory_id DESC
        OFFSET 0
    ) AS walked
    JOIN LATERAL (
        SELECT * FROM hostler.memories
        WHERE id = walked.memory_id AND tags @> $2 AND type = ANY ($3::text[])
        OFFSET 0
    ) AS one ON true
    LIMIT $5
) AS memory ON true
WHERE session.id = $1
ORDER BY memory.id DESC;
