-- schedules/due: up to $1 schedules whose time has come, for whoever fires them in the same
--     transaction; with what the server's clock says, and whether their queue is there.
-- State: none.
-- Locks: the rows, with SKIP LOCKED: two hosts never hold the same schedule, and who comes second
--     finds that it is no longer due.
-- Index: schedules_due, tasks_pkey, queues_pkey.
WITH due AS MATERIALIZED (
    SELECT schedules.*
    FROM hostler.schedules
    WHERE schedules.next_at <= now()
    ORDER BY schedules.next_at
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
)
SELECT now() AS now, schedules.name, schedules.description, schedules.origin, schedules.cron, schedules.every_ms,
    schedules.zone, schedules.queue, schedules.kind, schedules.input, schedules.priority,
    schedules.max_attempts, schedules.timeout_ms, schedules.deadline_ms, schedules.stale_after_ms,
    schedules.overlap, schedules.catch_up,
    schedules.catch_up_max, schedules.paused, schedules.paused_reason, schedules.anchor,
    schedules.next_at, schedules.last_due, schedules.last_at, schedules.last_task,
    (SELECT tasks.state FROM hostler.tasks WHERE tasks.id = schedules.last_task)
        AS last_task_state,
    schedules.created_at, schedules.changed_at,
    EXISTS (SELECT FROM hostler.queues WHERE queues.name = schedules.queue) AS has_queue
FROM due AS schedules
ORDER BY schedules.next_at, schedules.name;
