-- sessions/found: what was found for the words $1, as it is shown: of the kinds $2, with the numbers $3, in the
--     sessions of the numbers $4, with the place of the words. What is gone meanwhile has no row.
-- State: none.
-- Locks: none.
-- Index: the primary keys of what is found.
WITH wanted AS MATERIALIZED (
    SELECT websearch_to_tsquery('english', $1) AS words
)
SELECT found.number, session.id AS session, session.title AS session_title,
    coalesce(memory.key, chunk.name, artifact.name, given.name, session.id) AS name,
    coalesce(memory.type, artifact.type, chunk.format, given.type) AS type, memory.tags,
    ts_headline('english', coalesce(
        left(memory.content #>> '{}', 100000),
        (
            SELECT left(content, 100000) FROM hostler.session_texts AS text
            WHERE text.item_id = found.number AND (text.search @@ (SELECT words FROM wanted)) IS TRUE
            ORDER BY part LIMIT 1
        ),
        session.title || ' ' || left(session.context, 10000)
    ), (SELECT words FROM wanted), 'StartSel=**, StopSel=**, MaxWords=25, MinWords=8') AS highlight
FROM unnest($2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS found (kind, number, session_no, place)
JOIN hostler.sessions AS session ON session.no = found.session_no
LEFT JOIN hostler.memories AS memory ON found.kind = 'memory' AND memory.id = found.number
LEFT JOIN hostler.session_chunks AS chunk ON found.kind = 'chunk' AND chunk.id = found.number
LEFT JOIN hostler.artifacts AS artifact ON found.kind = 'artifact' AND artifact.id = found.number
LEFT JOIN hostler.session_tasks AS given ON found.kind = 'task' AND given.id = found.number
WHERE found.kind = 'session' OR coalesce(memory.id, chunk.id, artifact.id, given.id) IS NOT NULL
ORDER BY found.place;
