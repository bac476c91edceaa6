-- breaking: no
-- An agent that is not ours touches no task but the one that it gets, and holds up no host that chooses, however
-- long its transaction lasts; what was called off is cancelled, whichever try it was; and the input of a task
-- hears of a deadline that a dependency did not meet.

-- As in 0033. Its caller may keep the transaction open as long as it works: what it put back for others, or gave
-- out of what was to wait, was held up as long.
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
    chosen uuid;
    was hostler.task_state;
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

    -- Who did not renew is lost. A host that lives sees to that by itself; where there is none, this does.
    IF NOT EXISTS (SELECT FROM hostler.hosts WHERE kind = 'host' AND lease_ends_at > now()) THEN
        lost := ARRAY(
            SELECT id FROM hostler.hosts
            WHERE lease_ends_at < now() ORDER BY id FOR UPDATE SKIP LOCKED
        );
    END IF;
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
                AND tasks.lane IS NULL
            LIMIT 1
        ) AS pending
        WHERE queues.name = ANY (hostler.plainly_claimable(claim_task.queues))
    ) AND NOT EXISTS (
        SELECT
        FROM hostler.log_cursors
        JOIN hostler.log_lanes ON log_lanes.id = log_cursors.lane
        JOIN hostler.queues ON queues.name = log_cursors.queue
        WHERE log_lanes.head > log_cursors.taken
            AND queues.name = ANY (hostler.plainly_claimable(claim_task.queues))
    ) AND NOT EXISTS (
        SELECT
        FROM hostler.tasks
        WHERE state = 'scheduled' AND run_at <= now() AND lane IS NULL
            AND tasks.queue = ANY (hostler.plainly_claimable(claim_task.queues))
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
    -- As sql/queries/tasks/claim.sql, for one agent. What was to wait for its time may be next, if no
    -- host has given it out.
    WITH candidate AS MATERIALIZED (
        SELECT best.id, best.priority
        FROM hostler.queues
        CROSS JOIN LATERAL (
            SELECT tasks.id, tasks.priority
            FROM hostler.tasks
            WHERE tasks.queue = queues.name AND tasks.state = 'pending'
                AND tasks.lane IS NULL
            ORDER BY tasks.priority DESC, tasks.id
            LIMIT 65
        ) AS best
        WHERE queues.name = ANY (hostler.plainly_claimable(claim_task.queues))
        UNION ALL
        SELECT waited.id, waited.priority
        FROM (
            SELECT tasks.id, tasks.priority
            FROM hostler.tasks
            WHERE tasks.state = 'scheduled' AND tasks.run_at <= now() AND tasks.lane IS NULL
                AND tasks.queue = ANY (hostler.plainly_claimable(claim_task.queues))
            ORDER BY tasks.run_at
            LIMIT 65
        ) AS waited
    ), due AS MATERIALIZED (
        SELECT locked.id, locked.state
        FROM unnest(ARRAY(
            SELECT candidate.id FROM candidate ORDER BY candidate.priority DESC, candidate.id
        )) WITH ORDINALITY AS ranked (id, place)
        CROSS JOIN LATERAL (
            SELECT tasks.id, tasks.state
            FROM hostler.tasks
            WHERE tasks.id = ranked.id AND tasks.state IN ('pending', 'scheduled')
                AND (tasks.state = 'pending' OR tasks.run_at <= now())
                AND tasks.lane IS NULL AND (tasks.deadline IS NULL OR tasks.deadline > now())
            FOR UPDATE SKIP LOCKED
        ) AS locked
        ORDER BY ranked.place
        LIMIT 1
    )
    SELECT due.id, due.state INTO chosen, was FROM due;
    IF was = 'scheduled' THEN
        UPDATE hostler.tasks SET state = 'pending', version = version + 1 WHERE id = chosen;
    END IF;
    RETURN QUERY
    UPDATE hostler.tasks
    SET state = 'running', version = version + 1, attempt = attempt + 1, host_id = holder,
        agent = claim_task.agent_name, started_at = now()
    WHERE id = chosen
    RETURNING id, (SELECT input FROM hostler.task_inputs WHERE task_inputs.task_id = tasks.id),
        attempt, queue, kind, max_attempts - failures,
        least(
            coalesce(
                timeout_ms,
                (SELECT timeout_ms FROM hostler.queue_terms WHERE queue_terms.queue = tasks.queue)
            ) * interval '1 millisecond',
            deadline - now()
        ),
        until;
END
$$;

-- As in 0033. The last try of a task that was called off failed it, though its agent was told to end it so.
CREATE OR REPLACE FUNCTION hostler.end_external_attempt(
    task_id uuid, attempt integer, agent_name text, control_agent text,
    outcome hostler.attempt_outcome, output jsonb, message text, detail jsonb, reason text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    held record;
    next hostler.task_state;
    wait interval;
BEGIN
    IF attempt IS NULL AND agent_name IS NULL THEN
        RAISE EXCEPTION 'task %: give parameter "attempt", as claim_task told it, or "agent_name"',
            task_id
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Without either, an answer that comes too late could not be told from one that counts.';
    END IF;
    SELECT tasks.*, hosts.id AS holder INTO held
    FROM hostler.tasks
    JOIN hostler.hosts ON hosts.id = tasks.host_id
    WHERE tasks.id = end_external_attempt.task_id
        AND tasks.state IN ('running', 'awaiting_input')
        AND tasks.attempt = coalesce(end_external_attempt.attempt, tasks.attempt)
        AND hosts.kind = 'external'
        AND (
            end_external_attempt.agent_name IS NULL
            OR hosts.slot = hostler.external_slot(
                end_external_attempt.agent_name, end_external_attempt.control_agent
            )
        )
    FOR UPDATE OF tasks;
    IF NOT FOUND OR held.state = 'awaiting_input' AND outcome = 'completed' THEN
        RETURN false;
    END IF;
    IF outcome = 'failed' THEN
        wait := hostler.after_failure(
            held.queue, held.retry, detail, held.failures, held.max_attempts
        );
    END IF;
    next := CASE
        WHEN outcome = 'completed' THEN 'completed'
        WHEN held.cancel_requested OR outcome = 'cancelled' THEN 'cancelled'
        WHEN outcome = 'failed' AND wait IS NULL THEN 'failed'
        WHEN outcome = 'failed' THEN 'scheduled'
        ELSE 'pending'
    END;
    UPDATE hostler.tasks
    SET state = next,
        finished_at = CASE WHEN next IN ('completed', 'failed', 'cancelled') THEN now() END,
        run_at = CASE WHEN next = 'scheduled' THEN now() + wait ELSE run_at END,
        failures = failures + (outcome = 'failed')::integer,
        version = version + 1,
        host_id = NULL, agent = NULL, started_at = NULL, cancel_requested = false
    WHERE id = held.id;
    INSERT INTO hostler.attempts (
        task_id, attempt, outcome, class, message, detail, reason, host_id, agent, started_at
    )
    VALUES (
        held.id, held.attempt, outcome,
        CASE WHEN outcome = 'failed' THEN 'task' END::hostler.failure_class,
        message, detail, reason, held.holder, held.agent, held.started_at
    );
    IF next = 'completed' THEN
        INSERT INTO hostler.task_results (task_id, output) VALUES (held.id, output);
    END IF;
    -- What it holds up may be able to run now; its own end has made that known to the database alone.
    IF next = 'pending' OR next IN ('completed', 'failed', 'cancelled')
        AND EXISTS (SELECT FROM hostler.dependencies WHERE depends_on = held.id)
    THEN
        PERFORM hostler.wake_hosts(NULL);
    END IF;
    RETURN true;
END
$$;

-- As in 0010, with the failures that are of no attempt.
CREATE OR REPLACE FUNCTION hostler.dependency_results(wanted uuid) RETURNS jsonb
LANGUAGE sql STABLE SET enable_seqscan = off AS $$
    WITH limits (most) AS (VALUES (4194304)),
    found AS MATERIALIZED (
        SELECT dependencies.name,
            jsonb_build_object(
                'id', 'tsk_' || replace(dependencies.depends_on::text, '-', ''),
                'state', hostler.dependency_state(dependencies.depends_on),
                'output', coalesce(
                    (SELECT output FROM hostler.task_results AS kept
                    WHERE kept.task_id = dependencies.depends_on),
                    (SELECT ended.output
                    FROM hostler.log_tasks AS entry
                    JOIN hostler.log_ends AS ended
                        ON ended.lane = entry.lane AND ended.number = entry.number
                    WHERE entry.id = dependencies.depends_on)
                ),
                'error', coalesce(
                    (SELECT jsonb_build_object('class', late.class, 'message', late.message)
                    FROM hostler.task_failures AS late
                    WHERE late.task_id = dependencies.depends_on
                        AND (late.attempt, 'failed') = (
                            SELECT tasks.attempt, tasks.state FROM hostler.tasks
                            WHERE tasks.id = dependencies.depends_on
                        )),
                    (SELECT jsonb_build_object('class', class, 'message', message)
                    FROM hostler.attempts
                    WHERE attempts.task_id = dependencies.depends_on AND outcome = 'failed'
                    ORDER BY attempt DESC
                    LIMIT 1)
                )
            ) AS result
        FROM hostler.dependencies
        WHERE dependencies.task_id = wanted AND dependencies.used
    ),
    size AS (
        SELECT coalesce(sum(octet_length(result::text)), 0) AS bytes FROM found
    )
    SELECT jsonb_build_object(
        'deps', CASE WHEN bytes <= most
            THEN (SELECT coalesce(jsonb_object_agg(name, result), '{}') FROM found) END,
        'bytes', bytes, 'most', most
    )
    FROM size, limits
$$;

-- As in 0012, but for what others have in hand: hosts that choose take turns, and would all have waited for an agent
-- that claimed a plain task and works on it in the same transaction.
CREATE OR REPLACE FUNCTION hostler.divert(for_host uuid, wanted text[], most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    moved bigint := 0;
    next record;
BEGIN
    PERFORM FROM hostler.hosts WHERE id = for_host AND lease_ends_at > now() FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    FOR next IN
        SELECT log_cursors.lane, log_cursors.taken,
            least(log_lanes.head, log_cursors.taken + divert.most - (
                SELECT count(*)
                FROM (
                    SELECT FROM hostler.tasks
                    WHERE tasks.queue = log_cursors.queue AND tasks.state = 'pending'
                        AND tasks.lane IS NULL
                    LIMIT divert.most
                ) AS there
            )) AS upto
        FROM hostler.log_cursors
        JOIN hostler.log_lanes ON log_lanes.id = log_cursors.lane
        WHERE log_cursors.queue = ANY (wanted) AND log_lanes.head > log_cursors.taken
        ORDER BY log_cursors.lane
        FOR UPDATE OF log_cursors SKIP LOCKED
    LOOP
        IF next.upto > next.taken THEN
            moved := moved + hostler.track(ARRAY(
                SELECT id
                FROM hostler.log_tasks
                WHERE log_tasks.lane = next.lane AND number > next.taken AND number <= next.upto
            ));
            UPDATE hostler.log_cursors SET taken = next.upto WHERE lane = next.lane;
        END IF;
    END LOOP;
    RETURN moved;
END
$$;

-- As in 0009, but a pause that has ended is none, whether or not a host has taken it down.
CREATE OR REPLACE VIEW hostler.queue_overview AS
SELECT queues.name AS queue, queues.description,
    queues.paused AND coalesce(queues.paused_until > now(), true) AS paused,
    CASE WHEN coalesce(queues.paused_until > now(), true) THEN queues.paused_reason END AS paused_reason,
    depth.blocked, depth.scheduled, depth.pending + logged.pending AS pending,
    depth.running + logged.running AS running, depth.awaiting_input, depth.failed,
    greatest(oldest.waiting, logged.waiting) AS oldest_pending,
    CASE WHEN queues.paused_until > now() THEN queues.paused_until END AS paused_until
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
