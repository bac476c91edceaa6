-- task_unique/holders: where the tasks $1 and $2 are, their newest attempts, and how many
--     milliseconds ago they were submitted. A task that is gone has no row.
-- State: none.
-- Locks: the tasks $2, in the order of their ids: they are to take over what a submit says, and
--     must not be claimed before that. Waits for a claim of one, and then tells what it did.
-- Index: tasks_pkey, by lists of ids.
WITH locked AS MATERIALIZED (
    SELECT id, state, attempt, created_at
    FROM hostler.tasks
    WHERE id = ANY ($2::uuid[])
    ORDER BY id
    FOR UPDATE
)
SELECT id, state, attempt,
    greatest(0, extract(epoch FROM now() - created_at) * 1000)::bigint AS age_ms
FROM locked
UNION ALL
SELECT id, state, attempt, greatest(0, extract(epoch FROM now() - created_at) * 1000)::bigint
FROM hostler.tasks
WHERE id = ANY ($1::uuid[]);
