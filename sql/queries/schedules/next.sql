-- schedules/next: the milliseconds until a schedule is due, 0 if one is; no number if all are paused.
-- State: none.
-- Locks: none.
-- Index: schedules_due.
SELECT CASE
        WHEN min(next_at) IS NOT NULL
        THEN greatest(0, ceil(1000 * extract(epoch FROM min(next_at) - clock_timestamp())))
    END::bigint AS next_ms
FROM hostler.schedules
WHERE next_at IS NOT NULL;
