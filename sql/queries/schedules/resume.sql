-- schedules/resume: let the schedule $1 go on, from the due time $2. One that is not paused stays as
--     it is.
-- State: none.
-- Locks: the row.
-- Index: schedules_pkey.
UPDATE hostler.schedules
SET paused = false, paused_reason = NULL, next_at = $2::timestamptz
WHERE name = $1 AND paused;
