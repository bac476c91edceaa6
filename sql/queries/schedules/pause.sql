-- schedules/pause: let the schedule $1 submit nothing, for the reason $2. No row if it is unknown.
-- State: none: its tasks go on.
-- Locks: the row.
-- Index: schedules_pkey.
UPDATE hostler.schedules
SET paused = true, paused_reason = $2, next_at = NULL
WHERE name = $1
RETURNING name;
