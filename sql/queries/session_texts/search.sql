-- session_texts/search: the best $8 chunks, artifacts and tasks, of the kinds $3, for the words $1, none if these
--     say nothing: of session number $2, from $4 on and before $5, and after rank $6 and number $7; where null,
--     any. $9 narrows by session in the words of `search`. An item has the rank of the best of its pieces. Up to
--     1000 pieces that fit are ranked; where more do, those among the first five of the newest 200 items of each
--     kind. That more do is seen without looking for them all: of the newest at least 4 in 100 fit, and there
--     are so many pieces that as many of them are more than 1000. In one session, and where it was written before
--     a time, any 1000 that fit are ranked.
-- State: none.
-- Locks: none.
-- Index: session_texts_search; session_chunks_pkey, artifacts_pkey, session_tasks_pkey, from their newest ends,
--     and session_texts_pkey.
WITH wanted AS MATERIALIZED (
    SELECT words.query AS words, $9::text::tsquery && words.query AS narrowed,
        numnode(words.query) > 0 AS say_something
    FROM (SELECT websearch_to_tsquery('english', $1) AS query) AS words
), newest AS MATERIALIZED (
    SELECT item.*, row_number() OVER (PARTITION BY item.kind ORDER BY item.id DESC) AS nth
    FROM (
        (
            SELECT 'chunk' AS kind, id, session_no, changed_at AS at FROM hostler.session_chunks
            WHERE $2::bigint IS NULL AND 'chunk' = ANY ($3::text[]) ORDER BY id DESC LIMIT 200
        )
        UNION ALL
        (
            SELECT 'artifact', id, session_no, changed_at FROM hostler.artifacts
            WHERE $2 IS NULL AND 'artifact' = ANY ($3) ORDER BY id DESC LIMIT 200
        )
        UNION ALL
        (
            SELECT 'task', id, session_no, created_at FROM hostler.session_tasks
            WHERE $2 IS NULL AND 'task' = ANY ($3) ORDER BY id DESC LIMIT 200
        )
    ) AS item
), frequent AS MATERIALIZED (
    SELECT coalesce(share >= 0.04 AND $5::timestamptz IS NULL AND share * (
        SELECT reltuples::float8 FROM pg_class WHERE oid = 'hostler.session_texts'::regclass
    ) >= 1000, false) AS yes
    FROM (
        SELECT avg(((piece.search @@ (SELECT narrowed FROM wanted)) IS TRUE)::integer)::float8 AS share
        FROM newest
        CROSS JOIN LATERAL (
            SELECT search FROM hostler.session_texts
            WHERE item_id = newest.id ORDER BY part LIMIT 2
        ) AS piece
        WHERE newest.nth <= 20
    ) AS sample
), few AS MATERIALIZED (
    SELECT item.kind, text.item_id AS id, text.session_no, text.search, item.at
    FROM hostler.session_texts AS text
    CROSS JOIN LATERAL (
        SELECT 'chunk' AS kind, changed_at AS at FROM hostler.session_chunks WHERE id = text.item_id
        UNION ALL
        SELECT 'artifact', changed_at FROM hostler.artifacts WHERE id = text.item_id
        UNION ALL
        SELECT 'task', created_at FROM hostler.session_tasks WHERE id = text.item_id
    ) AS item
    WHERE text.search @@ (SELECT narrowed FROM wanted) AND (SELECT say_something FROM wanted)
        AND (SELECT NOT yes FROM frequent)
        AND ($2 IS NULL OR (text.session_no = $2) IS TRUE) AND item.kind = ANY ($3)
        AND ($4::timestamptz IS NULL OR item.at >= $4) AND ($5 IS NULL OR item.at < $5)
    LIMIT 1001
), many AS MATERIALIZED (
    SELECT newest.kind, newest.id, newest.session_no, piece.search, newest.at
    FROM newest
    CROSS JOIN LATERAL (
        SELECT search FROM hostler.session_texts WHERE item_id = newest.id ORDER BY part LIMIT 5
    ) AS piece
    WHERE ((SELECT yes FROM frequent) OR ($2 IS NULL AND $5 IS NULL AND (SELECT count(*) FROM few) > 1000))
        AND (SELECT say_something FROM wanted)
        AND (piece.search @@ (SELECT narrowed FROM wanted)) IS TRUE
        AND ($4 IS NULL OR newest.at >= $4)
)
SELECT kind, id AS number, session_no, max(rank) AS rank, max(at) AS at
FROM (
    SELECT *, ts_rank(search, (SELECT words FROM wanted)) AS rank FROM few
    WHERE $2 IS NOT NULL OR $5 IS NOT NULL OR (SELECT count(*) FROM few) <= 1000
    UNION ALL
    SELECT *, ts_rank(search, (SELECT words FROM wanted)) FROM many
) AS ranked
GROUP BY kind, id, session_no
HAVING $6::real IS NULL OR (max(rank), id) < ($6, $7::bigint)
ORDER BY rank DESC, number DESC
LIMIT $8;
