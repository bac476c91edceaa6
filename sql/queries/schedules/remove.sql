-- schedules/remove: take out the schedule $1 and the record of its firings. No row if it is unknown.
-- State: none: its tasks go on.
-- Locks: the row, and those of its firings.
-- Index: schedules_pkey, schedule_firings_pkey.
WITH gone AS (
    DELETE FROM hostler.schedules WHERE name = $1 RETURNING name
), forgotten AS (
    DELETE FROM hostler.schedule_firings WHERE schedule = $1
)
SELECT name FROM gone;
