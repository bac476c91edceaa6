-- batches/list: $2 batches, newest first, from batch $1 on or from the newest on; with $3 only those that are not
--     done. With how many of their tasks are in each state, and their callbacks.
-- State: none.
-- Locks: none.
-- Index: batches_pkey or batches_unfinished, task_tally_by_scope, batch_callbacks_pkey. What has ended is counted
--     in the batch itself, so that it is right to the last task.
SELECT batches.id, batches.total, batches.completed, batches.failed, batches.cancelled,
    batches.created_at, batches.closed_at, batches.cancelled_at, batches.done_at,
    tally.states, tally.tasks, callback.ends, callback.made
FROM (
    (
        SELECT * FROM hostler.batches
        WHERE NOT $3::boolean AND id <= coalesce($1::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ORDER BY id DESC LIMIT $2
    )
    UNION ALL
    (
        SELECT * FROM hostler.batches
        WHERE $3 AND done_at IS NULL AND id <= coalesce($1, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ORDER BY id DESC LIMIT $2
    )
) AS batches
CROSS JOIN LATERAL (
    SELECT array_agg(counted.state ORDER BY counted.state) AS states,
        array_agg(counted.tasks ORDER BY counted.state) AS tasks
    FROM (
        SELECT task_tally.state, sum(task_tally.tasks)::bigint AS tasks
        FROM hostler.task_tally
        WHERE task_tally.scope = 'batch ' || batches.id
            AND task_tally.state NOT IN ('completed', 'failed', 'cancelled')
        GROUP BY task_tally.state
    ) AS counted
) AS tally
CROSS JOIN LATERAL (
    SELECT array_agg(batch_callbacks.on_end ORDER BY batch_callbacks.on_end) AS ends,
        array_agg(batch_callbacks.task_id ORDER BY batch_callbacks.on_end) AS made
    FROM hostler.batch_callbacks
    WHERE batch_callbacks.batch_id = batches.id
) AS callback
ORDER BY batches.id DESC;
