-- plan_runs/list: $2 runs, newest first, from run $1 on or from the newest on. With how many of their
--     tasks, and of the merges of these, are in which state.
-- State: none.
-- Locks: none.
-- Index: plan_runs_pkey, plan_tasks_pkey, plan_tasks_merges, tasks_pkey. OFFSET 0 keeps the join from being turned round.
SELECT run.id, run.title, run.agents, run.hour_ms, run.rehearsal, run.phased, run.sequential_ms,
    run.makespan_ms, run.bound_ms, run.found_by, run.created_at, run.looked_at,
    run.expected_end_at, run.replanned, run.paused_at, run.paused_reason, run.cancelled_at,
    run.ended_at, states.states, states.counts, merges.states AS merge_states,
    merges.counts AS merge_counts
FROM (
    SELECT * FROM hostler.plan_runs
    WHERE id <= coalesce($1::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY id DESC LIMIT $2
) AS run
CROSS JOIN LATERAL (
    SELECT array_agg(per.state) AS states, array_agg(per.tasks) AS counts
    FROM (
        SELECT coalesce(tasks.state, one.state, 'cancelled') AS state, count(*) AS tasks
        FROM hostler.plan_tasks AS one
        LEFT JOIN LATERAL (
            SELECT live.state FROM hostler.tasks AS live WHERE live.id = one.task_id OFFSET 0
        ) AS tasks ON true
        WHERE one.run_id = run.id
        GROUP BY 1
    ) AS per
) AS states
CROSS JOIN LATERAL (
    SELECT array_agg(per.state) AS states, array_agg(per.tasks) AS counts
    FROM (
        SELECT coalesce(tasks.state, one.merge_state, 'cancelled') AS state, count(*) AS tasks
        FROM hostler.plan_tasks AS one
        LEFT JOIN LATERAL (
            SELECT live.state FROM hostler.tasks AS live WHERE live.id = one.merge_id OFFSET 0
        ) AS tasks ON true
        WHERE one.run_id = run.id AND one.merge_rank IS NOT NULL
        GROUP BY 1
    ) AS per
) AS merges
ORDER BY run.id DESC;
