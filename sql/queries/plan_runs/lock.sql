-- plan_runs/lock: lock run $1 against others who look at it or open it again.
-- State: none.
-- Locks: the row.
-- Index: plan_runs_pkey.
SELECT id FROM hostler.plan_runs WHERE id = $1 FOR UPDATE;
