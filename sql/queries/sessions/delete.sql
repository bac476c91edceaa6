-- sessions/delete: delete session number $1, which is locked, with all that is in it; with $2 false only
--     if nothing is. Its tasks stay in their queues. Returns how much of each was deleted, or no row.
-- State: any -> gone.
-- Locks: all of these rows.
-- Index: sessions_pkey; session_no leads an index of each other table, and session_texts_pkey.
WITH content AS MATERIALIZED (
    SELECT $2::boolean OR NOT (
        EXISTS (SELECT FROM hostler.memories WHERE session_no = $1)
        OR EXISTS (SELECT FROM hostler.session_chunks WHERE session_no = $1)
        OR EXISTS (SELECT FROM hostler.artifacts WHERE session_no = $1)
        OR EXISTS (SELECT FROM hostler.session_tasks WHERE session_no = $1)
    ) AS goes
), session AS (
    DELETE FROM hostler.sessions WHERE no = $1 AND (SELECT goes FROM content) RETURNING no
), memories AS (
    DELETE FROM hostler.memories WHERE session_no IN (SELECT no FROM session) RETURNING id
), chunks AS (
    DELETE FROM hostler.session_chunks WHERE session_no IN (SELECT no FROM session) RETURNING id
), artifacts AS (
    DELETE FROM hostler.artifacts WHERE session_no IN (SELECT no FROM session) RETURNING id
), tasks AS (
    DELETE FROM hostler.session_tasks WHERE session_no IN (SELECT no FROM session) RETURNING id
), texts AS (
    DELETE FROM hostler.session_texts
    WHERE item_id IN (
        SELECT id FROM chunks UNION ALL SELECT id FROM artifacts UNION ALL SELECT id FROM tasks
    )
    RETURNING item_id
)
SELECT (SELECT count(*) FROM chunks) AS chunks, (SELECT count(*) FROM memories) AS memories,
    (SELECT count(*) FROM tasks) AS tasks, (SELECT count(*) FROM artifacts) AS artifacts,
    (SELECT count(*) FROM texts) AS texts
FROM session;
