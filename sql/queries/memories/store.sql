-- memories/store: keep memories, each in its session $1 under its key $2, of type $3 and with the content
--     $4; tag $6 is one of the memory at place $5 of these. No two are of the same session and key. Those
--     whose session is unknown or completed are not kept; with $8 true they are kept in a completed one, too.
--     Where $7 is not null, the memory was made then.
--     Returns for each its place, the state of the session, and whether it was made (null: not kept).
-- State: none.
-- Locks: the sessions, shared, in the order of their numbers; what is replaced.
-- Index: sessions_id_key, memories_by_key.
WITH given AS MATERIALIZED (
    SELECT one.session, one.key, one.type, one.content, one.at, one.place::integer AS place
    FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $7::timestamptz[])
        WITH ORDINALITY AS one (session, key, type, content, at, place)
), held AS MATERIALIZED (
    SELECT no, id, state FROM hostler.sessions WHERE id = ANY ($1) ORDER BY no FOR SHARE
), tagged AS MATERIALIZED (
    SELECT tag.place, array_agg(tag.word ORDER BY tag.nth) AS tags
    FROM unnest($5::integer[], $6::text[]) WITH ORDINALITY AS tag (place, word, nth)
    GROUP BY tag.place
), kept AS (
    INSERT INTO hostler.memories AS old (session_no, key, type, content, tags, created_at, changed_at)
    SELECT held.no, given.key, given.type, given.content, coalesce(tagged.tags, '{}'),
        coalesce(given.at, now()), coalesce(given.at, now())
    FROM given
    JOIN held ON held.id = given.session AND (held.state <> 'completed' OR $8::boolean)
    LEFT JOIN tagged ON tagged.place = given.place
    -- Always the same order, so that two batches do not wait for each other; what was elsewhere comes in its
    -- own, and its session is locked.
    ORDER BY held.no, CASE WHEN $8 THEN given.place END, given.key
    ON CONFLICT (session_no, key) DO UPDATE
    SET id = nextval('hostler.session_items'), type = EXCLUDED.type, content = EXCLUDED.content,
        tags = EXCLUDED.tags, changed_at = EXCLUDED.changed_at
    RETURNING session_no, key, xmax = 0 AS created
)
SELECT given.place, held.state, kept.created
FROM given
LEFT JOIN held ON held.id = given.session
LEFT JOIN kept ON kept.session_no = held.no AND kept.key = given.key
ORDER BY given.place;
