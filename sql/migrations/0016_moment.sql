-- breaking: no
-- The moment that the feed has come to, said in one place; and a claim in SQL that looks again whether
-- a task needs nothing.

-- The moment ends with the newest transaction that told of a step, and not with the newest of all: one
-- that was undone may be unknown to the server after a crash, and its number given again. `gone` is the
-- newest of which a step was deleted. One row, and nothing that keeps it from being planned as a part
-- of the statement that asks.
CREATE FUNCTION hostler.feed_moment() RETURNS TABLE (gone xid8, upto pg_snapshot)
LANGUAGE sql STABLE ROWS 1 AS $$
    WITH horizon AS MATERIALIZED (
        SELECT coalesce((SELECT feed_horizon.gone FROM hostler.feed_horizon WHERE one), '0') AS past
    ), newest AS MATERIALIZED (
        SELECT past, greatest(
            past,
            (SELECT tx FROM hostler.task_events WHERE position IS NOT NULL ORDER BY tx DESC LIMIT 1),
            (SELECT tx FROM hostler.log_feed ORDER BY tx DESC LIMIT 1),
            '1'
        )::text::bigint + 1 AS bound
        FROM horizon
    )
    SELECT past, format('%s:%s:%s', coalesce(min(running.id), bound), bound,
        string_agg(running.id::text, ',' ORDER BY running.id))::pg_snapshot
    FROM newest
    LEFT JOIN LATERAL (
        SELECT open::text::bigint AS id FROM pg_snapshot_xip(pg_current_snapshot()) AS open
    ) AS running ON running.id < bound
    GROUP BY past, bound
$$;

COMMENT ON FUNCTION hostler.feed_moment() IS 'Internal: the snapshot that the feed has come to, and the newest transaction of which it has lost a step.';

-- As it was, but that what it has locked still needs nothing: a submit with the same key may have
-- replaced the task since it was found.
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
                AND tasks.lane IS NULL
            ORDER BY tasks.priority DESC, tasks.id
            LIMIT 65
        ) AS best
        WHERE queues.name = ANY (hostler.plainly_claimable(claim_task.queues))
        ORDER BY best.priority DESC, best.id
    ), due AS MATERIALIZED (
        SELECT locked.id
        FROM unnest(ARRAY(SELECT id FROM candidate)) WITH ORDINALITY AS ranked (id, place)
        CROSS JOIN LATERAL (
            SELECT tasks.id
            FROM hostler.tasks
            WHERE tasks.id = ranked.id AND tasks.state IS NOT DISTINCT FROM 'pending'
                AND tasks.lane IS NULL
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
