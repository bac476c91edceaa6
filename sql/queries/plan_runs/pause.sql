-- plan_runs/pause: run $1 is held back, for the reason $2; or goes on, where $2 is null. Returns it; no
--     row if it is unknown.
-- State: none: the tasks wait because their key is paused.
-- Locks: the row.
-- Index: plan_runs_pkey.
UPDATE hostler.plan_runs
SET paused_at = CASE WHEN $2::text IS NOT NULL THEN coalesce(paused_at, now()) END,
    paused_reason = $2
WHERE id = $1
RETURNING id;
