-- tasks/begin: hand the tasks $2 to the agents $3 of host $1, each to the one at its place, as
--     src/domain/admission.rs has chosen. Those that are gone or locked by now are left out, and
--     those whose lane is not $4 any more: a submit has replaced what they need.
--     Returns one row per task, in their order. They began when this was said, and not
--     when the transaction began, which may have waited for others: so no attempt seems to
--     have begun before what it waited for had ended.
-- State: pending -> running, which is `step(Pending, Claimed)`; a trigger writes down what each holds.
-- Locks: the host's row as in tasks/claim. SKIP LOCKED on the tasks. All under the lock of
--     task_holds/take_turns.
-- Index: tasks_pkey, by lists of ids; as in tasks/claim.
WITH host AS MATERIALIZED (
    SELECT id FROM hostler.hosts WHERE id = $1 AND lease_ends_at > now() FOR KEY SHARE
), due AS MATERIALIZED (
    SELECT locked.id
    FROM host
    CROSS JOIN unnest($2::uuid[], $4::bigint[]) AS ranked (id, lane)
    CROSS JOIN LATERAL (
        SELECT tasks.id
        FROM hostler.tasks
        WHERE tasks.id = ranked.id AND tasks.state IS NOT DISTINCT FROM 'pending'
            AND (tasks.deadline IS NULL OR tasks.deadline > now())
            AND tasks.lane IS NOT DISTINCT FROM ranked.lane
        FOR UPDATE SKIP LOCKED
    ) AS locked
), claimed AS (
    UPDATE hostler.tasks
    SET state = 'running', version = version + 1, attempt = attempt + 1, host_id = $1,
        agent = ($3::text[])[array_position($2::uuid[], id)],
        started_at = clock_timestamp()
    WHERE id = ANY (ARRAY(SELECT due.id FROM due))
    RETURNING id, attempt, failures, max_attempts, agent, queue, kind, timeout_ms, retry, workspace,
        stale_after_ms,
        CASE
            WHEN deadline IS NOT NULL
            THEN greatest(0, extract(epoch FROM deadline - clock_timestamp()) * 1000)
        END::bigint AS deadline_in_ms,
        started_at, greatest(0, extract(epoch FROM clock_timestamp() - run_at) * 1000)::bigint AS waited_ms,
        (SELECT input FROM hostler.task_inputs WHERE task_inputs.task_id = tasks.id) AS input,
        (
            SELECT hostler.dependency_results(task_id)
            FROM hostler.dependents
            WHERE dependents.task_id = tasks.id AND template
        ) AS results
)
SELECT id, attempt, failures, max_attempts, agent, queue, kind, timeout_ms, retry, workspace,
    stale_after_ms, deadline_in_ms,
    waited_ms, input, results, started_at
FROM claimed
ORDER BY array_position($2::uuid[], id);
