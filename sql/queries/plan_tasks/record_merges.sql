-- plan_tasks/record_merges: write down how those merges of run $1 ended of which that, or another end, was
--     not.
-- State: none.
-- Locks: the rows that change.
-- Index: plan_tasks_merges, tasks_pkey. OFFSET 0 keeps the join from being turned round.
UPDATE hostler.plan_tasks AS one
SET merge_state = merge.state
FROM (
    SELECT known.place, live.state
    FROM hostler.plan_tasks AS known
    CROSS JOIN LATERAL (
        SELECT ended.state FROM hostler.tasks AS ended
        WHERE ended.id = known.merge_id AND ended.state IN ('completed', 'failed', 'cancelled')
        OFFSET 0
    ) AS live
    WHERE known.run_id = $1 AND known.merge_rank IS NOT NULL
        AND known.merge_state IS DISTINCT FROM live.state
    OFFSET 0
) AS merge
WHERE one.run_id = $1 AND one.place = merge.place;
