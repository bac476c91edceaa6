-- tasks/claim: hand tasks of the queues $2, of priority $5 and higher, to the agents $3 (of fleet $6)
--     of host $1: as many as there are agents, or fewer. Returns one row per task, in the order of
--     the agents. Tasks that need something are left to tasks/begin; so is whatever is limited:
--     those of a limited queue, and all where the fleet or everything is, or where queues take turns
--     by their weights.
-- State: pending -> running, which is `step(Pending, Claimed)`.
-- Locks: the host's row, shared, and only while its lease holds: a take-over waits for this claim,
--     and a claim that waited for a take-over finds no host. SKIP LOCKED on the tasks, so that
--     claimers never wait for each other; each queue gives $4 candidates more than are wanted, to
--     make up for those that others hold just now. No more are locked than are claimed. What is
--     locked still needs nothing, whatever a submit has replaced since it was found.
-- Index: tasks_pending, once per queue, in its order; then tasks_pkey, by lists of ids; a probe of
--     dependents_pkey for each that is claimed. There is
--     no join to plan, so that a plan made for an empty table is as good for a full one; IS NOT
--     DISTINCT FROM, because `=` would make tasks_pending look fit for finding an id.
WITH host AS MATERIALIZED (
    SELECT id FROM hostler.hosts WHERE id = $1 AND lease_ends_at > now() FOR KEY SHARE
), candidate AS MATERIALIZED (
    SELECT best.id
    FROM host
    CROSS JOIN hostler.queues
    CROSS JOIN LATERAL (
        SELECT tasks.id, tasks.priority
        FROM hostler.tasks
        WHERE tasks.queue = queues.name AND tasks.state = 'pending' AND tasks.lane IS NULL
            AND tasks.priority >= $5::smallint
        ORDER BY tasks.priority DESC, tasks.id
        LIMIT cardinality($3::text[]) + $4::integer
    ) AS best
    WHERE queues.name = ANY ($2::text[]) AND NOT queues.limited
        AND (NOT queues.paused OR queues.paused_until <= now())
        AND NOT EXISTS (
            SELECT FROM hostler.limits
            WHERE limits.limited
                AND (limits.scope = 'all' OR limits.scope = 'fleet' AND limits.name = $6)
        )
        AND NOT EXISTS (
            SELECT FROM hostler.queues AS weighed
            WHERE weighed.name = ANY ($2::text[]) AND weighed.weight <> 1
        )
    ORDER BY best.priority DESC, best.id
), due AS MATERIALIZED (
    SELECT locked.id, ranked.place
    FROM unnest(ARRAY(SELECT id FROM candidate)) WITH ORDINALITY AS ranked (id, place)
    CROSS JOIN LATERAL (
        SELECT tasks.id
        FROM hostler.tasks
        WHERE tasks.id = ranked.id AND tasks.state IS NOT DISTINCT FROM 'pending'
            AND (tasks.deadline IS NULL OR tasks.deadline > now()) AND tasks.lane IS NULL
        FOR UPDATE SKIP LOCKED
    ) AS locked
    ORDER BY ranked.place
    LIMIT cardinality($3::text[])
), claimed AS (
    UPDATE hostler.tasks
    SET state = 'running', version = version + 1, attempt = attempt + 1, host_id = $1,
        agent = ($3::text[])[
            array_position((SELECT array_agg(due.id ORDER BY due.place) FROM due), id)
        ],
        started_at = now()
    WHERE id = ANY (ARRAY(SELECT due.id FROM due))
    RETURNING id, attempt, failures, max_attempts, agent, queue, kind, timeout_ms, retry, workspace,
        stale_after_ms,
        CASE
            WHEN deadline IS NOT NULL
            THEN greatest(0, extract(epoch FROM deadline - clock_timestamp()) * 1000)
        END::bigint AS deadline_in_ms,
        greatest(0, extract(epoch FROM clock_timestamp() - run_at) * 1000)::bigint AS waited_ms,
        (SELECT input FROM hostler.task_inputs WHERE task_inputs.task_id = tasks.id) AS input,
        (
            SELECT hostler.dependency_results(task_id)
            FROM hostler.dependents
            WHERE dependents.task_id = tasks.id AND template
        ) AS results
)
SELECT id, attempt, failures, max_attempts, agent, queue, kind, timeout_ms, retry, workspace,
    stale_after_ms, deadline_in_ms,
    waited_ms, input, results
FROM claimed
ORDER BY array_position($3::text[], agent);
