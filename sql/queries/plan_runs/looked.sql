-- plan_runs/looked: run $1 was looked at, as of $2: it is expected to end in $3 milliseconds, and got
--     another order if $4. If $5 it has ended: then with the end of its last task.
-- State: none.
-- Locks: the row.
-- Index: plan_runs_pkey, plan_tasks_pkey.
UPDATE hostler.plan_runs
SET looked_at = $2, replanned = replanned + $4::boolean::integer,
    expected_end_at = CASE WHEN $5::boolean THEN expected_end_at
        ELSE $2::timestamptz + $3::bigint * interval '1 millisecond' END,
    ended_at = CASE WHEN $5::boolean THEN coalesce((
        SELECT one.ended_at FROM hostler.plan_tasks AS one
        WHERE one.run_id = $1 ORDER BY one.ended_at DESC NULLS LAST LIMIT 1
    ), $2) END
WHERE id = $1;
