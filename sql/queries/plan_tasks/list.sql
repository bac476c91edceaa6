-- plan_tasks/list: the tasks of run $1, in the order of the plan. Where one is, the queue knows for as
--     long as it has it; what is written down of one that has ended comes first otherwise.
-- State: none.
-- Locks: none.
-- Index: plan_tasks_pkey, tasks_pkey, attempts_pkey, task_events_pkey. OFFSET 0 keeps the join from
--     being turned round.
SELECT one.place, one.name, one.title, one.phase, one.human, one.depends_on, one.task_id,
    one.gate_id, one.planned_ms, one.start_ms, one.finish_ms, one.worker, one.critical,
    one.skipped_at, one.condition, one.decided,
    coalesce(tasks.state, one.state, 'cancelled') AS state, coalesce(tasks.priority, 0::smallint) AS priority,
    (SELECT gate.state FROM hostler.tasks AS gate WHERE gate.id = one.gate_id) AS gate,
    one.merge_id, coalesce(merge.state, one.merge_state, CASE
        WHEN one.merge_id IS NOT NULL THEN 'cancelled'::hostler.task_state
    END) AS merge_state, merge.queue AS merge_queue,
    coalesce(one.ready_at, (
        SELECT step.at FROM hostler.task_events AS step
        WHERE step.task_id = one.task_id AND step.state = 'pending'
        ORDER BY step.number LIMIT 1
    )) AS ready_at,
    coalesce(one.began_at, first.started_at, tasks.started_at) AS began_at,
    CASE WHEN tasks.host_id IS NOT NULL THEN tasks.started_at END AS running_since,
    coalesce(one.ended_at, tasks.finished_at) AS ended_at,
    coalesce(tasks.agent, one.agent, newest.agent) AS agent,
    coalesce(one.took_ms, newest.took_ms) AS took_ms,
    CASE
        WHEN tasks.state IN ('failed', 'scheduled') THEN newest.message
        WHEN merge.state IN ('failed', 'scheduled') THEN (
            SELECT attempts.message FROM hostler.attempts
            WHERE attempts.task_id = one.merge_id ORDER BY attempts.attempt DESC LIMIT 1
        )
    END AS message
FROM hostler.plan_tasks AS one
LEFT JOIN LATERAL (
    SELECT * FROM hostler.tasks AS live WHERE live.id = one.task_id OFFSET 0
) AS tasks ON true
LEFT JOIN LATERAL (
    SELECT attempts.started_at FROM hostler.attempts
    WHERE attempts.task_id = one.task_id AND one.state IS NULL
    ORDER BY attempts.attempt LIMIT 1
) AS first ON true
LEFT JOIN LATERAL (
    SELECT attempts.agent, attempts.message,
        CASE
            WHEN attempts.outcome = 'completed'
            THEN greatest(0, extract(epoch FROM attempts.ended_at - attempts.started_at) * 1000)
        END::bigint AS took_ms
    FROM hostler.attempts
    WHERE attempts.task_id = one.task_id AND one.state IS NULL
    ORDER BY attempts.attempt DESC LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT live.state, live.queue FROM hostler.tasks AS live WHERE live.id = one.merge_id OFFSET 0
) AS merge ON true
WHERE one.run_id = $1
ORDER BY one.place;
