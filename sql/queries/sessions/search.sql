-- sessions/search: the best $9 of what fits the words $1, with the place of the words: among the kinds $2,
--     in session $3, with all the tags $4, of the memory types $5, from $6 on and before $7; where null, any.
--     Only what comes after rank $8 and the number $10. $11 and $12 narrow by session and by type and tags,
--     in the words of `search`. Of each kind the first 1000 that are found are ranked.
-- State: none.
-- Locks: none.
-- Index: sessions_search, memories_search, session_texts_search.
WITH wanted AS MATERIALIZED (
    SELECT words.query AS words, $11::text::tsquery && words.query AS narrowed,
        $12::text::tsquery && words.query AS narrowest
    FROM (SELECT websearch_to_tsquery('english', $1) AS query) AS words
), found AS MATERIALIZED (
    (
        SELECT 'session' AS kind, 0::bigint AS item, no AS session_no, search, created_at AS at
        FROM hostler.sessions
        WHERE 'session' = ANY ($2) AND $4::text[] IS NULL AND $5::text[] IS NULL
            AND search @@ (SELECT narrowed FROM wanted)
            AND ($6::timestamptz IS NULL OR created_at >= $6)
            AND ($7::timestamptz IS NULL OR created_at < $7)
        LIMIT 1000
    )
    UNION ALL
    (
        SELECT 'memory', id, session_no, search, changed_at
        FROM hostler.memories
        WHERE 'memory' = ANY ($2) AND search @@ (SELECT narrowest FROM wanted)
            AND ($4 IS NULL OR tags @> $4) AND ($5 IS NULL OR type = ANY ($5))
            AND ($6 IS NULL OR changed_at >= $6) AND ($7 IS NULL OR changed_at < $7)
        LIMIT 1000
    )
    UNION ALL
    (
        SELECT CASE WHEN chunk.id IS NOT NULL THEN 'chunk' ELSE 'artifact' END, text.item_id,
            text.session_no, text.search, coalesce(chunk.changed_at, artifact.changed_at)
        FROM hostler.session_texts AS text
        LEFT JOIN hostler.session_chunks AS chunk ON chunk.id = text.item_id
        LEFT JOIN hostler.artifacts AS artifact ON artifact.id = text.item_id
        WHERE $4 IS NULL AND $5 IS NULL AND text.search @@ (SELECT narrowed FROM wanted)
            AND CASE WHEN chunk.id IS NOT NULL THEN 'chunk' ELSE 'artifact' END = ANY ($2)
            AND ($6 IS NULL OR coalesce(chunk.changed_at, artifact.changed_at) >= $6)
            AND ($7 IS NULL OR coalesce(chunk.changed_at, artifact.changed_at) < $7)
        LIMIT 1000
    )
), best AS (
    SELECT kind, item, session_no, max(ts_rank(search, (SELECT words FROM wanted))) AS rank, max(at) AS at
    FROM found
    WHERE (session_no = (SELECT no FROM hostler.sessions WHERE id = $3) OR $3::text IS NULL)
        AND (SELECT numnode(words) FROM wanted) > 0
    GROUP BY kind, item, session_no
), page AS (
    SELECT *, CASE WHEN item = 0 THEN -session_no ELSE item END AS number
    FROM best
    WHERE $8::real IS NULL
        OR (rank, CASE WHEN item = 0 THEN -session_no ELSE item END) < ($8, $10::bigint)
    ORDER BY rank DESC, number DESC
    LIMIT $9
)
SELECT page.kind, page.number, page.rank, page.at, session.id AS session, session.title AS session_title,
    coalesce(memory.key, chunk.name, artifact.name, session.id) AS name,
    coalesce(memory.type, artifact.type, chunk.format) AS type, memory.tags,
    ts_headline('english', coalesce(
        memory.content #>> '{}',
        (
            SELECT left(content, 100000) FROM hostler.session_texts AS text
            WHERE text.item_id = page.item AND text.search @@ (SELECT words FROM wanted)
            ORDER BY part LIMIT 1
        ),
        session.title || ' ' || left(session.context, 10000)
    ), (SELECT words FROM wanted), 'StartSel=**, StopSel=**, MaxWords=25, MinWords=8')
    AS highlight
FROM page
JOIN hostler.sessions AS session ON session.no = page.session_no
LEFT JOIN hostler.memories AS memory ON page.kind = 'memory' AND memory.id = page.item
LEFT JOIN hostler.session_chunks AS chunk ON page.kind = 'chunk' AND chunk.id = page.item
LEFT JOIN hostler.artifacts AS artifact ON page.kind = 'artifact' AND artifact.id = page.item
ORDER BY page.rank DESC, page.number DESC;
