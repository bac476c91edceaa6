-- hosts/register: enter host $1 (slot $2, name $3, version $4, lease of $5 milliseconds). It goes on
--     with the attempts $8 of the tasks $7, where its predecessors on the same slot hold them; the
--     rest of what they hold is put back, with reason $6. Returns what it goes on with, and what was
--     put back.
-- State: running, awaiting_input -> pending, which is `step(_, Released)`; -> cancelled where asked.
--     None for what it goes on with: the number of the attempt stays, only its host changes.
-- Locks: the slot's row first, so that a claim of the predecessor is either seen or refused; then
--     the tasks it goes on with, then the other held tasks, in the order of their ids. No other
--     host touches either, as their host's row is locked.
-- Index: hosts_one_per_slot, tasks_pkey, tasks_held.
WITH predecessor AS MATERIALIZED (
    SELECT id FROM hostler.hosts WHERE slot = $2 FOR UPDATE
), arrived AS (
    INSERT INTO hostler.hosts (id, slot, name, version, lease_ends_at)
    VALUES ($1, $2, $3, $4, now() + $5::bigint * interval '1 millisecond')
    ON CONFLICT ON CONSTRAINT hosts_one_per_slot DO UPDATE
    SET id = EXCLUDED.id, name = EXCLUDED.name, version = EXCLUDED.version,
        started_at = EXCLUDED.started_at, lease_ends_at = EXCLUDED.lease_ends_at
    RETURNING id
), resumed AS (
    UPDATE hostler.tasks
    SET host_id = $1
    WHERE id = ANY ($7::uuid[]) AND state = 'running'
        AND attempt = ($8::integer[])[array_position($7::uuid[], id)]
        AND host_id = ANY (ARRAY(SELECT predecessor.id FROM predecessor))
    RETURNING id, queue, attempt, state, failures, max_attempts, agent, kind, timeout_ms,
        retry, workspace, stale_after_ms,
        CASE
            WHEN deadline IS NOT NULL
            THEN greatest(0, extract(epoch FROM deadline - clock_timestamp()) * 1000)
        END::bigint AS deadline_in_ms,
        greatest(0, extract(epoch FROM clock_timestamp() - started_at) * 1000)::bigint AS ran_ms,
        (SELECT input FROM hostler.task_inputs WHERE task_inputs.task_id = tasks.id) AS input
)
SELECT true AS resumed, id AS task_id, queue, attempt, state, failures, max_attempts, agent, kind,
    timeout_ms, retry, workspace, stale_after_ms, deadline_in_ms, ran_ms, input
FROM resumed
UNION ALL
SELECT false, put_back_task, put_back_queue, put_back_attempt, put_back_state, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM hostler.put_back(
    (SELECT array_agg(id) FROM predecessor) || (SELECT id FROM arrived), $6,
    ARRAY(SELECT id FROM resumed)
);
