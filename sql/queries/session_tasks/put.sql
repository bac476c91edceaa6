-- session_tasks/put: link the task $2 of session number $1 to task $3 of the queue, or, where that is null,
--     keep what is known of it from elsewhere, $8: agent $4, type $5, description $6, input $7, as of $9 or
--     now. Its heading is kept as the piece -1 of session_texts. No row if there is one of the name already.
-- State: none.
-- Locks: none; the caller holds the session.
-- Index: session_tasks_by_name.
WITH kept AS (
    INSERT INTO hostler.session_tasks (
        session_no, name, task_id, agent, type, description, input, past, created_at
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()))
    ON CONFLICT (session_no, name) DO NOTHING
    RETURNING id
), heading AS (
    INSERT INTO hostler.session_texts (item_id, part, session_no, content)
    SELECT id, -1, $1, concat_ws(E'\n', left($6::text, 100000), $2::text, $5::text, $4::text) FROM kept
    RETURNING item_id
)
SELECT id FROM kept;
