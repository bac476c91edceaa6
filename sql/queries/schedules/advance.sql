-- schedules/advance: after the schedule $1 was looked at: it is due next at $2, unless it is paused
--     or that is null; its newest due time is $3, its newest task $4 (where null, as before). Of
--     the record of its firings the newest $5 are kept.
-- State: none.
-- Locks: the row, and those of the firings that are forgotten.
-- Index: schedules_pkey, schedule_firings_pkey.
WITH forgotten AS (
    DELETE FROM hostler.schedule_firings
    WHERE schedule = $1 AND due_at <= (
        SELECT due_at
        FROM hostler.schedule_firings
        WHERE schedule = $1
        ORDER BY due_at DESC
        OFFSET $5::bigint
        LIMIT 1
    )
)
UPDATE hostler.schedules
SET next_at = CASE WHEN NOT paused THEN coalesce($2::timestamptz, next_at) END,
    last_due = greatest(last_due, $3::timestamptz),
    last_at = CASE WHEN $4::uuid IS NULL THEN last_at ELSE now() END,
    last_task = coalesce($4::uuid, last_task)
WHERE name = $1;
