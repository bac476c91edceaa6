-- schedules/hold: the schedule $1, for a change in the same transaction, and what the server's clock
--     says. One row; its name is null if there is no such schedule.
-- State: none.
-- Locks: the row of the schedule: whoever fires it just now is waited for.
-- Index: schedules_pkey, tasks_pkey.
WITH held AS MATERIALIZED (
    SELECT schedules.* FROM hostler.schedules WHERE schedules.name = $1 FOR UPDATE
)
SELECT now() AS now, schedules.name, schedules.description, schedules.origin, schedules.cron, schedules.every_ms,
    schedules.zone, schedules.queue, schedules.kind, schedules.input, schedules.priority,
    schedules.max_attempts, schedules.timeout_ms, schedules.deadline_ms, schedules.stale_after_ms,
    schedules.overlap, schedules.catch_up,
    schedules.catch_up_max, schedules.paused, schedules.paused_reason, schedules.anchor,
    schedules.next_at, schedules.last_due, schedules.last_at, schedules.last_task,
    (SELECT tasks.state FROM hostler.tasks WHERE tasks.id = schedules.last_task)
        AS last_task_state,
    schedules.created_at, schedules.changed_at
FROM (SELECT) AS once
LEFT JOIN held AS schedules ON true;
