-- plan_tasks/record: write down how those tasks of run $1 ended of which that, or another end, was not.
--     Of a task that no agent did there is no time that it took.
-- State: none.
-- Locks: the rows that change.
-- Index: plan_tasks_pkey, tasks_pkey, attempts_pkey, task_events_pkey. OFFSET 0 keeps the join from
--     being turned round.
UPDATE hostler.plan_tasks AS one
SET state = tasks.state, ended_at = tasks.finished_at,
    ready_at = (
        SELECT step.at FROM hostler.task_events AS step
        WHERE step.task_id = one.task_id AND step.state = 'pending'
        ORDER BY step.number LIMIT 1
    ),
    began_at = (
        SELECT attempts.started_at FROM hostler.attempts
        WHERE attempts.task_id = one.task_id
        ORDER BY attempts.attempt LIMIT 1
    ),
    agent = (
        SELECT attempts.agent FROM hostler.attempts
        WHERE attempts.task_id = one.task_id
        ORDER BY attempts.attempt DESC LIMIT 1
    ),
    took_ms = CASE
        WHEN tasks.state = 'completed' AND NOT one.human AND one.skipped_at IS NULL
        THEN (
            SELECT greatest(0, extract(epoch FROM attempts.ended_at - attempts.started_at) * 1000)
            FROM hostler.attempts
            WHERE attempts.task_id = one.task_id AND attempts.outcome = 'completed'
            ORDER BY attempts.attempt DESC LIMIT 1
        )
    END::bigint
FROM (
    SELECT known.place, live.state, live.finished_at
    FROM hostler.plan_tasks AS known
    CROSS JOIN LATERAL (
        SELECT ended.state, ended.finished_at FROM hostler.tasks AS ended
        WHERE ended.id = known.task_id AND ended.state IN ('completed', 'failed', 'cancelled')
        OFFSET 0
    ) AS live
    WHERE known.run_id = $1 AND known.state IS DISTINCT FROM live.state
    OFFSET 0
) AS tasks
WHERE one.run_id = $1 AND one.place = tasks.place;
