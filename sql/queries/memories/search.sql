-- memories/search: the best $9 memories for the words $1, none if these say nothing: of session number $2, with
--     all the tags $3, from $5 on and before $6, and after rank $7 and number $8; where null, any. Of the types
--     $4. $10 narrows by session, types and tags in the words of `search`. Up to 5000 that fit are ranked; where
--     more do, those among the newest 5000 of all, or among the newest 1000 of each type of the session. That more
--     do is seen without looking for them all: of the newest at least 4 in 100 fit, and there are so many that
--     as many of them are more than 5000. What was written before a time is looked for in any case.
-- State: none.
-- Locks: none.
-- Index: memories_search; where many fit memories_pkey, or memories_newest, once per type from its newest end,
--     where a type is a range of one: were it an equation, all of a session might be read by their ids.
WITH wanted AS MATERIALIZED (
    SELECT words.query AS words, $10::text::tsquery && words.query AS narrowed,
        numnode(words.query) > 0 AS say_something
    FROM (SELECT websearch_to_tsquery('english', $1) AS query) AS words
), sample AS MATERIALIZED (
    SELECT avg(((newest.search @@ (SELECT narrowed FROM wanted)) IS TRUE)::integer)::float8 AS share
    FROM (
        (SELECT search FROM hostler.memories WHERE $2::bigint IS NULL ORDER BY id DESC LIMIT 200)
        UNION ALL
        (
            SELECT one.search
            FROM unnest($4::text[]) AS kind (type)
            CROSS JOIN LATERAL (
                SELECT every.search FROM hostler.memories AS every
                WHERE every.session_no = $2 AND every.type <= kind.type AND every.type >= kind.type
                ORDER BY every.type DESC, every.id DESC
                LIMIT 100
            ) AS one
        )
    ) AS newest
), frequent AS MATERIALIZED (
    SELECT coalesce(share >= 0.04 AND $6::timestamptz IS NULL AND share * CASE
        WHEN $2 IS NULL THEN (
            SELECT reltuples::float8 FROM pg_class WHERE oid = 'hostler.memories'::regclass
        )
        ELSE (
            SELECT count(*)::float8 FROM (
                SELECT FROM hostler.memories
                WHERE session_no = $2 AND type = ANY ($4)
                LIMIT (SELECT 5001 / share FROM sample WHERE share >= 0.04)
            ) AS counted
        )
    END >= 5000, false) AS yes
    FROM sample
), few AS MATERIALIZED (
    SELECT id, session_no, search, changed_at
    FROM hostler.memories
    WHERE search @@ (SELECT narrowed FROM wanted) AND (SELECT say_something FROM wanted)
        AND (SELECT NOT yes FROM frequent)
        AND ($2 IS NULL OR (session_no = $2) IS TRUE)
        AND ($3::text[] IS NULL OR tags @> $3) AND (type = ANY ($4)) IS TRUE
        AND ($5::timestamptz IS NULL OR changed_at >= $5) AND ($6 IS NULL OR changed_at < $6)
    LIMIT 5001
), many AS MATERIALIZED (
    SELECT newest.id, newest.session_no, newest.search, newest.changed_at
    FROM (
        (
            SELECT id, session_no, type, tags, search, changed_at FROM hostler.memories
            WHERE $2 IS NULL ORDER BY id DESC LIMIT 5000
        )
        UNION ALL
        (
            SELECT one.id, one.session_no, one.type, one.tags, one.search, one.changed_at
            FROM unnest($4) AS kind (type)
            CROSS JOIN LATERAL (
                SELECT * FROM hostler.memories AS every
                WHERE every.session_no = $2 AND every.type <= kind.type AND every.type >= kind.type
                ORDER BY every.type DESC, every.id DESC
                LIMIT 1000
            ) AS one
        )
    ) AS newest
    WHERE ((SELECT yes FROM frequent) OR ($6 IS NULL AND (SELECT count(*) FROM few) > 5000))
        AND (SELECT say_something FROM wanted)
        AND (newest.search @@ (SELECT narrowed FROM wanted)) IS TRUE
        AND ($3 IS NULL OR newest.tags @> $3) AND newest.type = ANY ($4)
        AND ($5 IS NULL OR newest.changed_at >= $5)
)
SELECT id AS number, session_no, rank, changed_at AS at
FROM (
    SELECT *, ts_rank(search, (SELECT words FROM wanted)) AS rank FROM few
    WHERE $6 IS NOT NULL OR (SELECT count(*) FROM few) <= 5000
    UNION ALL
    SELECT *, ts_rank(search, (SELECT words FROM wanted)) FROM many
) AS ranked
WHERE $7::real IS NULL OR (rank, id) < ($7, $8::bigint)
ORDER BY rank DESC, id DESC
LIMIT $9;
