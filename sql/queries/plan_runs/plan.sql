-- plan_runs/plan: the plan of run $1, as a plan file. No row if it is unknown.
-- State: none.
-- Locks: none.
-- Index: plan_runs_pkey.
SELECT plan FROM hostler.plan_runs WHERE id = $1;
