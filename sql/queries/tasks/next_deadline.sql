-- tasks/next_deadline: the milliseconds until a task that nobody holds is past its deadline, 0 if one
--     is; no number if none has one.
-- State: none.
-- Locks: none.
-- Index: tasks_deadline.
SELECT CASE
        WHEN min(deadline) IS NOT NULL
        THEN greatest(0, ceil(1000 * extract(epoch FROM min(deadline) - clock_timestamp())))
    END::bigint AS next_ms
FROM hostler.tasks
WHERE deadline IS NOT NULL AND state IN ('blocked', 'scheduled', 'pending');
