-- memories/store: keep memories, each in its session $1 under its key $2, of type $3, with the content $4 and the
--     tags $5, an array written as a text. No two are of the same session and key. Those whose session is unknown
--     or completed are not kept; with $7 true they are kept in a completed one, too. Where $6 is not null, the
--     memory was made then.
--     Returns for each its place, the state of the session, and whether it was made (null: not kept).
-- State: none.
-- Locks: the sessions, shared, in the order of their numbers; what is replaced.
-- Index: sessions_id_key, memories_by_key.
WITH given AS MATERIALIZED (
    SELECT one.session, one.key, one.type, one.content, one.tags::text[] AS tags, one.at,
        one.place::integer AS place
    FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::text[], $6::timestamptz[])
        WITH ORDINALITY AS one (session, key, type, content, tags, at, place)
    -- For the trigger: the tags of what is new are entered below.
    CROSS JOIN set_config('hostler.tags_are_entered', 'yes', true)
), held AS MATERIALIZED (
    SELECT no, id, state FROM hostler.sessions WHERE id = ANY ($1) ORDER BY no FOR SHARE
), kept AS (
    INSERT INTO hostler.memories AS old (session_no, key, type, content, tags, created_at, changed_at)
    SELECT held.no, given.key, given.type, given.content, given.tags,
        coalesce(given.at, now()), coalesce(given.at, now())
    FROM given
    JOIN held ON held.id = given.session AND (held.state <> 'completed' OR $7::boolean)
    -- Always the same order, so that two batches do not wait for each other; what was elsewhere comes in its
    -- own, and its session is locked.
    ORDER BY held.no, CASE WHEN $7 THEN given.place END, given.key
    ON CONFLICT (session_no, key) DO UPDATE
    SET id = nextval('hostler.session_items'), type = EXCLUDED.type, content = EXCLUDED.content,
        tags = EXCLUDED.tags, changed_at = EXCLUDED.changed_at
    RETURNING id, session_no, key, tags, xmax = 0 AS created
), tagged AS (
    -- Those of what is replaced are the trigger's, which knows what they were.
    INSERT INTO hostler.memory_tags (session_no, tag, memory_id)
    SELECT DISTINCT kept.session_no, tag, kept.id
    FROM kept CROSS JOIN unnest(kept.tags) AS tag
    WHERE kept.created
)
SELECT given.place, held.state, kept.created
FROM given
LEFT JOIN held ON held.id = given.session
LEFT JOIN kept ON kept.session_no = held.no AND kept.key = given.key
ORDER BY given.place;
