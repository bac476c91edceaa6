-- schedules/firings: what became of the newest $2 due times of the schedule $1, the newest first.
-- State: none.
-- Locks: none.
-- Index: schedule_firings_pkey.
SELECT due_at, outcome, task_id, replaced, note, fired_at
FROM hostler.schedule_firings
WHERE schedule = $1
ORDER BY due_at DESC
LIMIT $2::bigint;
