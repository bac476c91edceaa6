-- history/log_delete: delete those of the plain tasks $2 of lane $1, which history/log_take has locked,
--     that nobody needs as of now, with their ends. Returns how many completed and how many had moved.
-- State: completed -> gone. Of one that has moved, tasks has all that is to be kept.
-- Locks: those it has, and the keys of their ends, which nobody else writes any more.
-- Index: workspaces_pkey; log_tasks_pkey and log_ends_pkey, by the list of numbers, which are in their order on the disk.
WITH gone AS (
    DELETE FROM hostler.log_tasks
    WHERE lane = $1 AND number = ANY ($2::bigint[]) AND (
        CASE
            WHEN (SELECT moved FROM hostler.log_ends AS ended
                WHERE ended.lane = log_tasks.lane AND ended.number = log_tasks.number)
            THEN coalesce(
                (SELECT state FROM hostler.tasks WHERE tasks.id = log_tasks.id)
                    IN ('completed', 'failed', 'cancelled'),
                true
            )
            ELSE NOT hostler.is_needed(id)
        END
    )
    RETURNING number, id
), workspaces AS (
    DELETE FROM hostler.workspaces
    WHERE task_id = ANY (ARRAY(SELECT gone.id FROM gone))
        AND NOT EXISTS (SELECT FROM hostler.tasks WHERE tasks.id = workspaces.task_id)
), ends AS (
    DELETE FROM hostler.log_ends
    WHERE lane = $1 AND number = ANY (ARRAY(SELECT gone.number FROM gone))
    RETURNING moved
)
SELECT count(*) FILTER (WHERE NOT moved) AS completed, count(*) FILTER (WHERE moved) AS moved
FROM ends;
