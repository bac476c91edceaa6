-- plan_tasks/turns: how each of the merges $1 stands: its state and queue, the attempt that made what is
--     merged, and whether all before it in the order of the plan have ended. Of one that is not known any
--     more it is cancelled.
-- State: none.
-- Locks: none.
-- Index: plan_tasks_by_merge, plan_tasks_merges, tasks_pkey. OFFSET 0 keeps the join from being turned
--     round.
SELECT wanted.id, coalesce(merge.state, 'cancelled') AS state, merge.queue, one.queue AS agents,
    (SELECT work.attempt FROM hostler.tasks AS work WHERE work.id = one.task_id) AS attempt,
    NOT EXISTS (
        SELECT FROM hostler.plan_tasks AS before
        CROSS JOIN LATERAL (
            SELECT FROM hostler.tasks AS open
            WHERE open.id = before.merge_id
                AND open.state NOT IN ('completed', 'failed', 'cancelled')
            OFFSET 0
        ) AS open
        WHERE before.run_id = one.run_id AND before.merge_rank < one.merge_rank
    ) AS first
FROM unnest($1::uuid[]) AS wanted (id)
LEFT JOIN LATERAL (
    SELECT * FROM hostler.plan_tasks AS found WHERE found.merge_id = wanted.id OFFSET 0
) AS one ON true
LEFT JOIN LATERAL (
    SELECT tasks.state, tasks.queue FROM hostler.tasks WHERE tasks.id = one.merge_id OFFSET 0
) AS merge ON true;
