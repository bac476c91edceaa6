-- sessions/search: the best $7 sessions for the words $1, none if these say nothing: number $2 alone, made from $3
--     on and before $4, and after rank $5 and number $6, where a session counts as its number below zero; where
--     null, any. $8 narrows by session in the words of `search`. Up to 5000 that fit are ranked; where more do,
--     those among the newest 5000: seen as in memories/search.
-- State: none.
-- Locks: none.
-- Index: sessions_search; where many fit sessions_pkey, from its newest end.
WITH wanted AS MATERIALIZED (
    SELECT words.query AS words, $8::text::tsquery && words.query AS narrowed,
        numnode(words.query) > 0 AS say_something
    FROM (SELECT websearch_to_tsquery('english', $1) AS query) AS words
), frequent AS MATERIALIZED (
    SELECT coalesce(share >= 0.04 AND $4::timestamptz IS NULL AND share * (
        SELECT reltuples::float8 FROM pg_class WHERE oid = 'hostler.sessions'::regclass
    ) >= 5000, false) AS yes
    FROM (
        SELECT avg(((newest.search @@ (SELECT narrowed FROM wanted)) IS TRUE)::integer)::float8 AS share
        FROM (
            SELECT search FROM hostler.sessions WHERE $2::bigint IS NULL ORDER BY no DESC LIMIT 200
        ) AS newest
    ) AS sample
), few AS MATERIALIZED (
    SELECT no, search, created_at
    FROM hostler.sessions
    WHERE search @@ (SELECT narrowed FROM wanted) AND (SELECT say_something FROM wanted)
        AND (SELECT NOT yes FROM frequent)
        AND ($2 IS NULL OR (no = $2) IS TRUE)
        AND ($3::timestamptz IS NULL OR created_at >= $3) AND ($4 IS NULL OR created_at < $4)
    LIMIT 5001
), many AS MATERIALIZED (
    SELECT newest.no, newest.search, newest.created_at
    FROM (
        SELECT no, search, created_at FROM hostler.sessions WHERE $2 IS NULL ORDER BY no DESC LIMIT 5000
    ) AS newest
    WHERE ((SELECT yes FROM frequent) OR ($4 IS NULL AND (SELECT count(*) FROM few) > 5000))
        AND (SELECT say_something FROM wanted)
        AND (newest.search @@ (SELECT narrowed FROM wanted)) IS TRUE
        AND ($3 IS NULL OR newest.created_at >= $3)
)
SELECT -no AS number, no AS session_no, rank, created_at AS at
FROM (
    SELECT *, ts_rank(search, (SELECT words FROM wanted)) AS rank FROM few
    WHERE $4 IS NOT NULL OR (SELECT count(*) FROM few) <= 5000
    UNION ALL
    SELECT *, ts_rank(search, (SELECT words FROM wanted)) FROM many
) AS ranked
WHERE $5::real IS NULL OR (rank, -no) < ($5, $6::bigint)
ORDER BY rank DESC, number DESC
LIMIT $7;
