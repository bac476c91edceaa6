-- memories/matching: the best $7 memories of session $1 for the words $2, none if these say nothing: with
--     all the tags $3, of the types $4, and after rank $5 and number $6. $8 narrows by types and tags in the
--     words of `search`. Up to 5000 that fit are ranked; where more do, those among the newest 1000 of each
--     type. That more do is seen without looking for them all: of the newest 100 of each type at least 4 in
--     100 fit, and the session is so large that as many of it are more than 5000. No row if the session is
--     unknown; a row without a key if there are none.
-- State: none.
-- Locks: none.
-- Index: sessions_id_key; memories_search, or where many fit memories_newest, once per type from its newest
--     end. A type is a range of one: were it an equation, all of a session might be read by their ids.
WITH session AS MATERIALIZED (
    SELECT no FROM hostler.sessions WHERE id = $1
), wanted AS MATERIALIZED (
    SELECT words.query AS words,
        (SELECT '''' || E'\x01' || no || '''' FROM session)::tsquery && $8::text::tsquery && words.query AS narrowed
    FROM (SELECT websearch_to_tsquery('english', $2) AS query) AS words
), sample AS MATERIALIZED (
    SELECT avg(((newest.search @@ (SELECT narrowed FROM wanted)) IS TRUE)::integer) AS share
    FROM session
    CROSS JOIN unnest($4::text[]) AS kind (type)
    CROSS JOIN LATERAL (
        SELECT one.search FROM hostler.memories AS one
        WHERE one.session_no = session.no AND one.type <= kind.type AND one.type >= kind.type
        ORDER BY one.type DESC, one.id DESC
        LIMIT 100
    ) AS newest
), frequent AS MATERIALIZED (
    SELECT coalesce(share >= 0.04, false) AND (SELECT numnode(words) FROM wanted) > 0 AND (
        SELECT count(*) FROM (
            SELECT FROM hostler.memories
            WHERE session_no = (SELECT no FROM session) AND type = ANY ($4)
            LIMIT (SELECT 5001 / share FROM sample WHERE share >= 0.04)
        ) AS counted
    ) >= 5000 / greatest(share, 0.04) AS yes
    FROM sample
), few AS MATERIALIZED (
    SELECT id, search
    FROM hostler.memories
    WHERE search @@ (SELECT narrowed FROM wanted) AND (SELECT numnode(words) FROM wanted) > 0
        AND (SELECT NOT yes FROM frequent)
        AND (session_no = (SELECT no FROM session)) IS TRUE
        AND ($3::text[] IS NULL OR tags @> $3) AND type = ANY ($4::text[])
    LIMIT 5001
), many AS MATERIALIZED (
    SELECT newest.id, newest.rank
    FROM session
    CROSS JOIN unnest($4) AS kind (type)
    CROSS JOIN LATERAL (
        SELECT one.id, ts_rank(one.search, (SELECT words FROM wanted)) AS rank
        FROM (
            SELECT id, search, tags FROM hostler.memories AS every
            WHERE every.session_no = session.no AND every.type <= kind.type
                AND every.type >= kind.type
            ORDER BY every.type DESC, every.id DESC
            LIMIT 1000
        ) AS one
        WHERE (one.search @@ (SELECT narrowed FROM wanted)) IS TRUE
            AND ($3 IS NULL OR one.tags @> $3)
    ) AS newest
    WHERE (SELECT yes FROM frequent) OR (SELECT count(*) FROM few) > 5000
), best AS (
    SELECT id, rank
    FROM (
        SELECT id, ts_rank(search, (SELECT words FROM wanted)) AS rank FROM few
        WHERE (SELECT count(*) FROM few) <= 5000
        UNION ALL
        SELECT id, rank FROM many
    ) AS ranked
    WHERE $5::real IS NULL OR (rank, id) < ($5, $6::bigint)
    ORDER BY rank DESC, id DESC
    LIMIT $7
)
SELECT memory.id, memory.key, memory.type, memory.content, memory.tags, memory.created_at,
    memory.changed_at, best.rank,
    ts_headline('english', left(memory.content #>> '{}', 20000), (SELECT words FROM wanted),
        'StartSel=**, StopSel=**, MaxWords=25, MinWords=8') AS highlight
FROM session
LEFT JOIN best ON true
LEFT JOIN LATERAL (
    SELECT * FROM hostler.memories WHERE memories.id = best.id OFFSET 0
) AS memory ON true
ORDER BY best.rank DESC, best.id DESC;
