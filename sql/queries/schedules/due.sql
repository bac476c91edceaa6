-- schedules/due: up to $1 schedules whose time has come, for whoever fires them in the same
--     transaction; with what the server's clock says, whether their queue is there, and which of their tasks
--     have not ended, the newest first. Those are of a due time, or somebody asked for them.
-- State: none.
-- Locks: the rows, with SKIP LOCKED: two hosts never hold the same schedule, and who comes second
--     finds that it is no longer due.
-- Index: schedules_due, tasks_pkey, queues_pkey, schedule_firings_pkey.
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
    schedules.created_at, schedules.changed_at, unended.tasks AS unended, unended.states,
    EXISTS (SELECT FROM hostler.queues WHERE queues.name = schedules.queue) AS has_queue
FROM due AS schedules
CROSS JOIN LATERAL (
    SELECT array_agg(tasks.id ORDER BY firing.due_at DESC) AS tasks,
        array_agg(tasks.state ORDER BY firing.due_at DESC) AS states
    FROM hostler.schedule_firings AS firing
    JOIN LATERAL (
        SELECT id, state FROM hostler.tasks WHERE id = firing.task_id OFFSET 0
    ) AS tasks ON tasks.state NOT IN ('completed', 'failed', 'cancelled')
    WHERE firing.schedule = schedules.name
) AS unended
ORDER BY schedules.next_at, schedules.name;
