-- schedules/list: every schedule, in the order of their names; only the one with the name $1, unless
--     that is null.
-- State: none.
-- Locks: none.
-- Index: schedules_pkey, tasks_pkey.
SELECT schedules.name, schedules.description, schedules.origin, schedules.cron, schedules.every_ms,
    schedules.zone, schedules.queue, schedules.kind, schedules.input, schedules.priority,
    schedules.max_attempts, schedules.timeout_ms, schedules.deadline_ms, schedules.stale_after_ms,
    schedules.overlap, schedules.catch_up,
    schedules.catch_up_max, schedules.paused, schedules.paused_reason, schedules.anchor,
    schedules.next_at, schedules.last_due, schedules.last_at, schedules.last_task,
    (SELECT tasks.state FROM hostler.tasks WHERE tasks.id = schedules.last_task)
        AS last_task_state,
    schedules.created_at, schedules.changed_at
FROM hostler.schedules
WHERE $1::text IS NULL OR schedules.name = $1
ORDER BY schedules.name;
