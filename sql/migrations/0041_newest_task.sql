-- breaking: yes, because older programs look for how far the log goes in a column that is gone
-- How far a lane goes was a row that every submit updated: a part of its work, and under an old snapshot, which
-- keeps all versions of it, the dearer the more had been submitted since. It is the number of the lane's newest
-- task, which has an index already, and the host that appends to the lane knows it (decision 61).
CREATE OR REPLACE FUNCTION hostler.claim_task(agent_name text, control_agent text DEFAULT 'external'::text, queues text[] DEFAULT NULL::text[], lease interval DEFAULT '00:01:00'::interval)
 RETURNS TABLE(task_id uuid, input_data jsonb, attempt integer, queue text, kind text, attempts_left integer, timeout interval, lease_ends_at timestamp with time zone)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
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
        JOIN hostler.log_tasks AS next
            ON next.lane = log_cursors.lane AND next.number = log_cursors.taken + 1
        WHERE log_cursors.queue = ANY (hostler.plainly_claimable(claim_task.queues))
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

CREATE OR REPLACE FUNCTION hostler.divert(for_host uuid, wanted text[], most integer)
 RETURNS bigint
 LANGUAGE plpgsql
AS $$
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
            least(newest.number, log_cursors.taken + divert.most - (
                SELECT count(*)
                FROM (
                    SELECT FROM hostler.tasks
                    WHERE tasks.queue = log_cursors.queue AND tasks.state = 'pending'
                        AND tasks.lane IS NULL
                    LIMIT divert.most
                ) AS there
            )) AS upto
        FROM hostler.log_cursors
        CROSS JOIN LATERAL (
            SELECT entry.number
            FROM hostler.log_tasks AS entry
            WHERE entry.lane = log_cursors.lane
            ORDER BY entry.number DESC
            LIMIT 1
        ) AS newest
        WHERE log_cursors.queue = ANY (wanted) AND newest.number > log_cursors.taken
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

CREATE OR REPLACE FUNCTION hostler.track_next(queues text[])
 RETURNS uuid
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $$
#variable_conflict use_column
DECLARE
    next record;
    ahead boolean;
BEGIN
    SELECT log_cursors.lane, log_cursors.queue, waiting.number, waiting.id INTO next
    FROM hostler.log_cursors
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
    WHERE log_cursors.queue = ANY (hostler.plainly_claimable(track_next.queues))
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
                AND tasks.lane IS NULL
            ORDER BY tasks.priority DESC, tasks.id
            LIMIT 1
        ) AS tasks
        WHERE queues.name = ANY (hostler.plainly_claimable(track_next.queues))
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
        SELECT coalesce(
                (
                    SELECT newest.number - log_cursors.taken
                    FROM hostler.log_tasks AS newest
                    WHERE newest.lane = log_lanes.id AND newest.number > log_cursors.taken
                    ORDER BY newest.number DESC
                    LIMIT 1
                ),
                0
            ) AS ahead,
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

ALTER TABLE hostler.log_lanes DROP COLUMN head, RESET (fillfactor);
