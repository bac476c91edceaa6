-- plan_runs/cancel: run $1 is called off. Returns it; no row if it is unknown.
-- State: none: its tasks are called off as those of a group.
-- Locks: the row.
-- Index: plan_runs_pkey.
UPDATE hostler.plan_runs SET cancelled_at = coalesce(cancelled_at, now())
WHERE id = $1
RETURNING id;
