-- breaking: no
-- The functions and views for SQL, over the log of plain tasks too.

-- Moves the plain task that waits longest in these queues (all of them where null) into `tasks`, if
-- it goes before the best pending one there: plain tasks have priority 0, and among equals the
-- smaller id goes first. Lanes whose cursor somebody else holds are passed over. Returns its id, or
-- null. The cursor moves with it, so that nobody has to look past it again.
CREATE FUNCTION hostler.track_next(queues text[]) RETURNS uuid
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    next record;
    ahead boolean;
BEGIN
    SELECT log_cursors.lane, log_cursors.queue, waiting.number, waiting.id INTO next
    FROM hostler.log_cursors
    JOIN hostler.log_lanes ON log_lanes.id = log_cursors.lane
    JOIN hostler.queues ON queues.name = log_cursors.queue
    CROSS JOIN LATERAL (
        SELECT entry.number, entry.id
        FROM hostler.log_tasks AS entry
        WHERE entry.lane = log_cursors.lane AND entry.number > log_cursors.taken
            AND NOT EXISTS (
                SELECT FROM hostler.log_ends AS ended
                WHERE ended.lane = entry.lane AND ended.number = entry.number
            )
        ORDER BY entry.number
        LIMIT 1
    ) AS waiting
    WHERE log_lanes.head > log_cursors.taken AND NOT queues.paused
        AND (track_next.queues IS NULL OR queues.name = ANY (track_next.queues))
    ORDER BY waiting.id
    LIMIT 1
    FOR UPDATE OF log_cursors SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT best.priority > 0 OR best.priority = 0 AND best.id < next.id INTO ahead
    FROM (
        SELECT tasks.priority, tasks.id
        FROM hostler.queues
        CROSS JOIN LATERAL (
            SELECT tasks.priority, tasks.id
            FROM hostler.tasks
            WHERE tasks.queue = queues.name AND tasks.state = 'pending'
            ORDER BY tasks.priority DESC, tasks.id
            LIMIT 1
        ) AS tasks
        WHERE NOT queues.paused
            AND (track_next.queues IS NULL OR queues.name = ANY (track_next.queues))
    ) AS best
    ORDER BY best.priority DESC, best.id
    LIMIT 1;
    IF ahead OR hostler.track(ARRAY[next.id]) = 0 THEN
        RETURN NULL;
    END IF;
    UPDATE hostler.log_cursors SET taken = next.number
    WHERE lane = next.lane AND taken < next.number;
    RETURN next.id;
END
$$;
COMMENT ON FUNCTION hostler.track_next(text[]) IS 'Internal: moves the plain task that is next into tasks, if it goes before what is pending there.';

-- As in 0005, and of the log what goes before it.
CREATE OR REPLACE FUNCTION hostler.claim_task(
    agent_name text,
    control_agent text DEFAULT 'external',
    queues text[] DEFAULT NULL,
    lease interval DEFAULT '1 minute'
) RETURNS TABLE (
    task_id uuid, input_data jsonb, attempt integer, queue text, kind text, attempts_left integer,
    timeout interval, lease_ends_at timestamptz
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    holder uuid;
    until timestamptz;
    lost uuid[];
    unknown text;
BEGIN
    PERFORM hostler.check_agent(agent_name, control_agent, lease);
    SELECT name INTO unknown
    FROM unnest(claim_task.queues) AS given (name)
    WHERE NOT EXISTS (SELECT FROM hostler.queues WHERE queues.name = given.name)
    LIMIT 1;
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'agent "%" cannot claim: parameter "queues": there is no queue "%"',
            agent_name, unknown
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- Who did not renew is lost, as where a host of ours looks: there may be none.
    lost := ARRAY(
        SELECT id FROM hostler.hosts WHERE lease_ends_at < now() ORDER BY id FOR UPDATE SKIP LOCKED
    );
    IF cardinality(lost) > 0 THEN
        DELETE FROM hostler.hosts WHERE id = ANY (lost);
        PERFORM hostler.put_back(lost, 'the host did not renew its lease');
    END IF;

    -- An agent that finds nothing writes nothing, however often it looks.
    IF NOT EXISTS (
        SELECT
        FROM hostler.queues
        CROSS JOIN LATERAL (
            SELECT FROM hostler.tasks
            WHERE tasks.queue = queues.name AND tasks.state = 'pending'
            LIMIT 1
        ) AS pending
        WHERE NOT queues.paused
            AND (claim_task.queues IS NULL OR queues.name = ANY (claim_task.queues))
    ) AND NOT EXISTS (
        SELECT
        FROM hostler.log_cursors
        JOIN hostler.log_lanes ON log_lanes.id = log_cursors.lane
        JOIN hostler.queues ON queues.name = log_cursors.queue
        WHERE log_lanes.head > log_cursors.taken AND NOT queues.paused
            AND (claim_task.queues IS NULL OR queues.name = ANY (claim_task.queues))
    ) THEN
        RETURN;
    END IF;

    INSERT INTO hostler.hosts AS held (id, slot, kind, name, agent, version, lease_ends_at)
    VALUES (
        gen_random_uuid(), hostler.external_slot(agent_name, control_agent), 'external',
        control_agent, agent_name, '', clock_timestamp() + lease
    )
    ON CONFLICT (slot) DO UPDATE
    SET lease_ends_at = greatest(held.lease_ends_at, EXCLUDED.lease_ends_at)
    RETURNING held.id, held.lease_ends_at INTO holder, until;

    PERFORM hostler.track_next(claim_task.queues);
    -- As sql/queries/tasks/claim.sql, for one agent.
    RETURN QUERY
    WITH candidate AS MATERIALIZED (
        SELECT best.id
        FROM hostler.queues
        CROSS JOIN LATERAL (
            SELECT tasks.id, tasks.priority
            FROM hostler.tasks
            WHERE tasks.queue = queues.name AND tasks.state = 'pending'
            ORDER BY tasks.priority DESC, tasks.id
            LIMIT 65
        ) AS best
        WHERE NOT queues.paused
            AND (claim_task.queues IS NULL OR queues.name = ANY (claim_task.queues))
        ORDER BY best.priority DESC, best.id
    ), due AS MATERIALIZED (
        SELECT locked.id
        FROM unnest(ARRAY(SELECT id FROM candidate)) WITH ORDINALITY AS ranked (id, place)
        CROSS JOIN LATERAL (
            SELECT tasks.id
            FROM hostler.tasks
            WHERE tasks.id = ranked.id AND tasks.state IS NOT DISTINCT FROM 'pending'
            FOR UPDATE SKIP LOCKED
        ) AS locked
        ORDER BY ranked.place
        LIMIT 1
    )
    UPDATE hostler.tasks
    SET state = 'running', version = version + 1, attempt = attempt + 1, host_id = holder,
        agent = claim_task.agent_name, started_at = now()
    WHERE id = ANY (ARRAY(SELECT due.id FROM due))
    RETURNING id, (SELECT input FROM hostler.task_inputs WHERE task_inputs.task_id = tasks.id),
        attempt, queue, kind, max_attempts - failures,
        coalesce(
            timeout_ms,
            (SELECT timeout_ms FROM hostler.queue_terms WHERE queue_terms.queue = tasks.queue)
        ) * interval '1 millisecond',
        until;
END
$$;

-- As in 0005, of plain tasks too.
CREATE OR REPLACE FUNCTION hostler.task_result(
    task_id uuid, OUT state text, OUT output jsonb, OUT error text, OUT finished_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tasks.state::text,
        (SELECT output FROM hostler.task_results WHERE task_results.task_id = tasks.id),
        (
            SELECT message FROM hostler.attempts
            WHERE attempts.task_id = tasks.id AND attempts.outcome = 'failed'
            ORDER BY attempts.attempt DESC
            LIMIT 1
        ),
        tasks.finished_at
    FROM hostler.tasks
    WHERE tasks.id = task_result.task_id
    UNION ALL
    SELECT record.state::text, record.output, NULL, record.finished_at
    FROM hostler.log_records AS record
    WHERE record.id = task_result.task_id
$$;

CREATE OR REPLACE VIEW hostler.task_overview AS
SELECT tasks.id AS task, 'tsk_' || replace(tasks.id::text, '-', '') AS task_id, tasks.queue,
    tasks.kind, tasks.state, tasks.priority, tasks.attempt AS attempts, tasks.failures,
    tasks.max_attempts, hosts.name AS host, tasks.agent, failure.message AS last_error,
    tasks.created_at, tasks.run_at, tasks.started_at, tasks.finished_at,
    tasks.idempotency_key, task_inputs.input, task_results.output
FROM hostler.tasks
LEFT JOIN hostler.hosts ON hosts.id = tasks.host_id
LEFT JOIN hostler.task_inputs ON task_inputs.task_id = tasks.id
LEFT JOIN hostler.task_results ON task_results.task_id = tasks.id
LEFT JOIN LATERAL (
    SELECT attempts.message
    FROM hostler.attempts
    WHERE attempts.task_id = tasks.id AND attempts.outcome = 'failed'
    ORDER BY attempts.attempt DESC
    LIMIT 1
) AS failure ON true
UNION ALL
SELECT record.id, 'tsk_' || replace(record.id::text, '-', ''), record.queue, record.kind,
    record.state, 0::smallint, record.attempt, 0, record.max_attempts, hosts.name, NULL, NULL,
    record.created_at, record.created_at,
    CASE WHEN record.state = 'running' THEN record.started_at END, record.finished_at, NULL,
    record.input, record.output
FROM hostler.log_records AS record
LEFT JOIN hostler.hosts ON hosts.id = record.host_id;

-- Who works on a plain task its host alone knows: `agent` is null.
CREATE OR REPLACE VIEW hostler.running_tasks AS
SELECT tasks.id AS task, tasks.queue, tasks.kind, tasks.state, tasks.attempt,
    hosts.name AS host, tasks.agent, tasks.started_at, now() - tasks.started_at AS running_for,
    hosts.lease_ends_at, tasks.cancel_requested, task_inputs.input
FROM hostler.tasks
LEFT JOIN hostler.hosts ON hosts.id = tasks.host_id
LEFT JOIN hostler.task_inputs ON task_inputs.task_id = tasks.id
WHERE tasks.state IN ('running', 'awaiting_input')
UNION ALL
SELECT entry.id, lane.queue, entry.kind, 'running'::hostler.task_state, 1, hosts.name, NULL,
    claim.claimed_at, now() - claim.claimed_at, hosts.lease_ends_at, false, entry.input
FROM hostler.log_claims AS claim
JOIN hostler.log_lanes AS lane ON lane.id = claim.lane
JOIN hostler.log_tasks AS entry
    ON entry.lane = claim.lane AND entry.number BETWEEN claim.first AND claim.last
LEFT JOIN hostler.hosts ON hosts.id = claim.host_id
WHERE NOT EXISTS (
    SELECT FROM hostler.log_ends AS ended
    WHERE ended.lane = entry.lane AND ended.number = entry.number
);

-- As sql/queries/queues/list.sql counts.
CREATE OR REPLACE VIEW hostler.queue_overview AS
SELECT queues.name AS queue, queues.description, queues.paused, queues.paused_reason,
    depth.blocked, depth.scheduled, depth.pending + logged.pending AS pending,
    depth.running + logged.running AS running, depth.awaiting_input, depth.failed,
    greatest(oldest.waiting, logged.waiting) AS oldest_pending
FROM hostler.queues
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE tasks.state = 'blocked') AS blocked,
        count(*) FILTER (WHERE tasks.state = 'scheduled') AS scheduled,
        count(*) FILTER (WHERE tasks.state = 'pending') AS pending,
        count(*) FILTER (WHERE tasks.state = 'running') AS running,
        count(*) FILTER (WHERE tasks.state = 'awaiting_input') AS awaiting_input,
        count(*) FILTER (WHERE tasks.state = 'failed') AS failed
    FROM hostler.tasks
    WHERE tasks.queue = queues.name AND tasks.state IN (
        'blocked', 'scheduled', 'pending', 'running', 'awaiting_input', 'failed')
) AS depth ON true
LEFT JOIN LATERAL (
    SELECT now() - min(tasks.run_at) AS waiting
    FROM hostler.tasks
    WHERE tasks.queue = queues.name AND tasks.state = 'pending'
) AS oldest ON true
LEFT JOIN LATERAL (
    SELECT coalesce(sum(head.ahead - head.gone), 0)::bigint AS pending,
        coalesce(sum(head.held), 0)::bigint AS running,
        now() - min(head.since) AS waiting
    FROM (
        SELECT log_lanes.head - log_cursors.taken AS ahead,
            (
                SELECT count(*) FROM hostler.log_ends
                WHERE log_ends.lane = log_lanes.id AND log_ends.number > log_cursors.taken
            ) AS gone,
            (
                SELECT sum(claim.last - claim.first + 1 - (
                    SELECT count(*) FROM hostler.log_ends
                    WHERE log_ends.lane = claim.lane
                        AND log_ends.number BETWEEN claim.first AND claim.last
                ))
                FROM hostler.log_claims AS claim
                WHERE claim.lane = log_lanes.id
            ) AS held,
            (
                SELECT next.created_at FROM hostler.log_tasks AS next
                WHERE next.lane = log_lanes.id AND next.number = log_cursors.taken + 1
            ) AS since
        FROM hostler.log_lanes
        JOIN hostler.log_cursors ON log_cursors.lane = log_lanes.id
        WHERE log_lanes.queue = queues.name
    ) AS head
) AS logged ON true;

CREATE OR REPLACE VIEW hostler.host_overview AS
SELECT hosts.name AS host, hosts.kind, hosts.agent, hosts.version, hosts.started_at,
    hosts.lease_ends_at, hosts.lease_ends_at > now() AS is_alive,
    (
        SELECT count(*) FROM hostler.tasks
        WHERE tasks.host_id = hosts.id AND tasks.state IN ('running', 'awaiting_input')
    ) + (
        SELECT coalesce(sum(claim.last - claim.first + 1 - (
            SELECT count(*) FROM hostler.log_ends
            WHERE log_ends.lane = claim.lane
                AND log_ends.number BETWEEN claim.first AND claim.last
        )), 0)::bigint
        FROM hostler.log_claims AS claim
        WHERE claim.host_id = hosts.id
    ) AS running_tasks
FROM hostler.hosts;

COMMENT ON VIEW hostler.agent_overview IS 'Agents that have a task now, but for plain tasks: of those the host alone knows the agent.';
