-- history/delete: delete those of the tasks $1, which history/take has locked, that nobody needs as of
--     now, with all that belongs to them. Returns their ids.
-- State: a final one -> gone.
-- Locks: those it has; then the batches that they were part of, all of them done.
-- Index: tasks_pkey, by the list of ids; workspaces_pkey.
WITH gone AS (
    DELETE FROM hostler.tasks
    WHERE id = ANY ($1::uuid[]) AND NOT hostler.is_needed(id)
    RETURNING id
), workspaces AS (
    DELETE FROM hostler.workspaces
    WHERE task_id = ANY (ARRAY(SELECT gone.id FROM gone))
)
SELECT id FROM gone;
