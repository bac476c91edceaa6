-- history/run_ended: the oldest run of a plan after $2 that ended more than $1 milliseconds ago and of which
--     no task is left. No row if there is none.
-- State: none.
-- Locks: none.
-- Index: plan_runs_pkey, as an id is as old as its run; plan_tasks_pkey, tasks_pkey. OFFSET 0 keeps the join
--     from being turned round.
SELECT run.id
FROM hostler.plan_runs AS run
WHERE run.id > $2::uuid
    AND run.id < (
        lpad(to_hex(greatest(floor(extract(epoch FROM
            now() - $1::bigint * interval '1 millisecond') * 1000), 0)::bigint + 1), 12, '0')
        || repeat('0', 20)
    )::uuid
    AND run.ended_at < now() - $1::bigint * interval '1 millisecond'
    AND NOT EXISTS (
        SELECT FROM hostler.plan_tasks AS one
        CROSS JOIN LATERAL (
            SELECT FROM hostler.tasks
            WHERE tasks.id IN (one.task_id, one.gate_id, one.merge_id)
            OFFSET 0
        ) AS left_over
        WHERE one.run_id = run.id
    )
ORDER BY run.id
LIMIT 1;
