-- history/run: delete run $1 of a plan, if it has ended and none of its tasks is left. Returns it.
-- State: none.
-- Locks: the row.
-- Index: plan_runs_pkey, plan_tasks_pkey.
DELETE FROM hostler.plan_runs
WHERE id = $1 AND ended_at IS NOT NULL
    AND NOT EXISTS (SELECT FROM hostler.plan_tasks WHERE plan_tasks.run_id = $1)
RETURNING id;
