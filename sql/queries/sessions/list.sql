-- sessions/list: up to $7 sessions with what is in them, newest first: session $1 alone, or those in the
--     states $2 that participant $3 takes part in, that fit the words $4, that were made at $5 or later, and
--     before number $6. Where null, any.
-- State: none.
-- Locks: none.
-- Index: sessions_id_key, or sessions_by_state, once per state from its newest end; what is counted, by
--     session_no; memories_newest, where a type is a range of one: were it an equation, all of a session might
--     be read by their ids. Participants and words are looked for in what these give.
WITH shown AS MATERIALIZED (
    SELECT * FROM hostler.sessions WHERE id = $1
    UNION ALL
    (
        SELECT newest.*
        FROM unnest($2::hostler.session_state[]) AS wanted (state)
        CROSS JOIN LATERAL (
            SELECT *
            FROM hostler.sessions AS one
            WHERE one.state = wanted.state AND one.no < coalesce($6, 9223372036854775807)
                AND ($3::text IS NULL OR one.participants @> ARRAY[$3])
                AND ($4::text IS NULL OR (one.search @@ websearch_to_tsquery('english', $4)) IS TRUE)
                AND ($5::timestamptz IS NULL OR one.created_at >= $5)
            ORDER BY one.no DESC
            LIMIT $7
        ) AS newest
        WHERE $1 IS NULL
        ORDER BY newest.no DESC
        LIMIT $7
    )
)
SELECT shown.no, shown.id, shown.title, shown.context, shown.participants, shown.metadata, shown.state,
    shown.created_at, shown.completed_at,
    greatest(
        shown.changed_at,
        (
            SELECT max(newest.changed_at)
            FROM unnest(ARRAY[
                'idea', 'decision', 'question', 'action_item', 'context', 'preference', 'fact', 'risk',
                'note'
            ]) AS kind (type)
            CROSS JOIN LATERAL (
                SELECT changed_at FROM hostler.memories
                WHERE session_no = shown.no AND memories.type <= kind.type AND memories.type >= kind.type
                ORDER BY memories.type DESC, id DESC LIMIT 1
            ) AS newest
        ),
        (
            SELECT changed_at FROM hostler.session_chunks
            WHERE session_no = shown.no ORDER BY id DESC LIMIT 1
        ),
        (
            SELECT changed_at FROM hostler.artifacts
            WHERE session_no = shown.no ORDER BY id DESC LIMIT 1
        ),
        (
            SELECT created_at FROM hostler.session_tasks
            WHERE session_no = shown.no ORDER BY id DESC LIMIT 1
        )
    ) AS last_activity,
    (SELECT count(*) FROM hostler.session_chunks WHERE session_no = shown.no) AS chunks,
    (SELECT count(*) FROM hostler.memories WHERE session_no = shown.no) AS memories,
    (SELECT count(*) FROM hostler.artifacts WHERE session_no = shown.no) AS artifacts,
    (SELECT count(*) FROM hostler.session_tasks WHERE session_no = shown.no) AS tasks,
    (
        SELECT count(*)
        FROM hostler.session_tasks AS given
        JOIN hostler.tasks ON tasks.id = given.task_id
        WHERE given.session_no = shown.no AND tasks.state NOT IN ('completed', 'failed', 'cancelled')
    ) AS active_tasks
FROM shown
ORDER BY shown.no DESC;
