-- tasks/claim: hand tasks of the queues $2 to the agents $3 of host $1: as many as there are
--     agents, or fewer. Returns one row per task, in the order of the agents.
-- State: pending -> running, which is `step(Pending, Claimed)`.
-- Locks: the host's row, shared, and only while its lease holds: a take-over waits for this claim,
--     and a claim that waited for a take-over finds no host. SKIP LOCKED on the tasks, so that
--     claimers never wait for each other; each queue gives $4 candidates more than are wanted, to
--     make up for those that others hold just now.
-- Index: tasks_pending, once per queue, in its order: nothing else in the table costs anything.
WITH host AS MATERIALIZED (
    SELECT id FROM hostler.hosts WHERE id = $1 AND lease_ends_at > now() FOR KEY SHARE
), candidate AS MATERIALIZED (
    SELECT best.id, best.priority
    FROM host
    CROSS JOIN hostler.queues
    CROSS JOIN LATERAL (
        SELECT tasks.id, tasks.priority
        FROM hostler.tasks
        WHERE tasks.queue = queues.name AND tasks.state = 'pending'
        ORDER BY tasks.priority DESC, tasks.id
        LIMIT cardinality($3::text[]) + $4::integer
    ) AS best
    WHERE queues.name = ANY ($2::text[]) AND NOT queues.paused
    ORDER BY best.priority DESC, best.id
), due AS MATERIALIZED (
    SELECT tasks.id, candidate.priority
    FROM candidate
    JOIN hostler.tasks ON tasks.id = candidate.id
    WHERE tasks.state = 'pending'
    ORDER BY candidate.priority DESC, candidate.id
    LIMIT cardinality($3::text[])
    FOR UPDATE OF tasks SKIP LOCKED
), place AS (
    SELECT id, row_number() OVER (ORDER BY priority DESC, id) AS number FROM due
), claimed AS (
    UPDATE hostler.tasks
    SET state = 'running', version = tasks.version + 1, attempt = tasks.attempt + 1,
        host_id = $1, agent = ($3::text[])[place.number], started_at = now()
    FROM place
    WHERE tasks.id = place.id
    RETURNING place.number, tasks.id, tasks.attempt, tasks.failures, tasks.max_attempts,
        tasks.agent, tasks.queue, tasks.kind, tasks.timeout_ms
)
SELECT claimed.id, claimed.attempt, claimed.failures, claimed.max_attempts, claimed.agent,
    claimed.queue, claimed.kind, claimed.timeout_ms, task_inputs.input
FROM claimed
JOIN hostler.task_inputs ON task_inputs.task_id = claimed.id
ORDER BY claimed.number;
