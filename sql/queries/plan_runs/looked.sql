-- plan_runs/looked: run $1 was looked at, as of $2: it is expected to end in $3 milliseconds, and got
--     another order if $4. If $5, and no task is still to end, it has ended: with the end of its last
--     task. Returns whether it has.
-- State: none.
-- Locks: the row, which plan_runs/lock has locked: so who opened it again is seen.
-- Index: plan_runs_pkey, plan_tasks_pkey, tasks_pkey. OFFSET 0 keeps the join from being turned round.
UPDATE hostler.plan_runs
SET looked_at = $2, replanned = replanned + $4::boolean::integer,
    expected_end_at = CASE WHEN $5::boolean THEN expected_end_at
        ELSE $2::timestamptz + $3::bigint * interval '1 millisecond' END,
    ended_at = CASE
        WHEN $5::boolean AND NOT EXISTS (
            SELECT FROM hostler.plan_tasks AS one
            CROSS JOIN LATERAL (
                SELECT FROM hostler.tasks
                WHERE tasks.id IN (one.task_id, one.merge_id)
                    AND tasks.state NOT IN ('completed', 'failed', 'cancelled')
                OFFSET 0
            ) AS open
            WHERE one.run_id = $1
        )
        THEN coalesce(greatest((
            SELECT one.ended_at FROM hostler.plan_tasks AS one
            WHERE one.run_id = $1 ORDER BY one.ended_at DESC NULLS LAST LIMIT 1
        ), (
            SELECT merge.finished_at FROM hostler.plan_tasks AS one
            CROSS JOIN LATERAL (
                SELECT tasks.finished_at FROM hostler.tasks WHERE tasks.id = one.merge_id OFFSET 0
            ) AS merge
            WHERE one.run_id = $1 AND one.merge_rank IS NOT NULL
            ORDER BY merge.finished_at DESC NULLS LAST LIMIT 1
        )), $2)
    END
WHERE id = $1
RETURNING ended_at IS NOT NULL AS ended;
