-- breaking: no
-- What is submitted by SQL has the bounds of the API where a host could not read it otherwise: how deep an input
-- is nested, how large its numbers are, and how far away a time is. Agents that are not ours also do without a host:
-- they pass over what its deadline has passed, get what was to wait for its time, and hear of a deadline; and hosts
-- hear of what their answers make ready.

CREATE FUNCTION hostler.input_problem(input jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN jsonb_typeof(input) NOT IN ('object', 'array', 'number') THEN NULL
        WHEN jsonb_path_exists(input, '$.**{65 to last}')
            THEN 'parameter "input" is nested deeper than 64 levels'
        WHEN jsonb_path_exists(
            input,
            '$.** ? (@.type() == "number"
                && (@ > 1.79e308 || @ < -1.79e308))'
        ) THEN 'parameter "input" has a number beyond 1.79e308, larger than a double can be'
    END
$$;
COMMENT ON FUNCTION hostler.input_problem(jsonb) IS
    'Internal: what of an input no reader of JSON would take, though jsonb does; or null.';

-- As in 0025, with bounds.
CREATE OR REPLACE FUNCTION hostler.task_problem(
    queue text, kind text, priority numeric, run_at timestamptz, delay interval,
    max_attempts numeric, timeout interval, idempotency_key text, stale_after interval
) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN queue IS NULL THEN 'parameter "queue" is missing'
        WHEN kind IS NULL THEN 'parameter "kind" is missing'
        WHEN length(kind) > 255 THEN 'parameter "kind" is longer than 255 characters'
        WHEN priority NOT BETWEEN -32768 AND 32767 OR priority <> trunc(priority)
            THEN 'parameter "priority" must be a whole number from -32768 to 32767'
        WHEN run_at IS NOT NULL AND delay IS NOT NULL
            THEN 'parameters "run_at" and "delay" contradict each other: give one'
        WHEN run_at NOT BETWEEN timestamptz '0001-01-01 00:00:00+00'
                AND timestamptz '9999-01-01 00:00:00+00'
            THEN 'parameter "run_at" must be finite, and from the year 1 to the year 9998'
        WHEN delay < interval '0' THEN 'parameter "delay" must not be negative'
        WHEN delay > interval '3650 days' THEN 'parameter "delay" must not be longer than 3650 days'
        WHEN max_attempts NOT BETWEEN 1 AND 2147483647 OR max_attempts <> trunc(max_attempts)
            THEN 'parameter "max_attempts" must be a whole number, and at least 1'
        WHEN timeout < interval '1 millisecond'
            THEN 'parameter "timeout" must be at least a millisecond'
        WHEN timeout > interval '3650 days'
            THEN 'parameter "timeout" must not be longer than 3650 days'
        WHEN stale_after < interval '1 millisecond'
            THEN 'parameter "stale_after" must be at least a millisecond'
        WHEN stale_after > interval '3650 days'
            THEN 'parameter "stale_after" must not be longer than 3650 days'
        WHEN idempotency_key = '' THEN 'parameter "idempotency_key" must not be empty'
        WHEN length(idempotency_key) > 255
            THEN 'parameter "idempotency_key" is longer than 255 characters'
    END
$$;

-- As in 0025, with these.
CREATE OR REPLACE FUNCTION hostler.refuse_tasks(tasks jsonb) RETURNS void
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    task jsonb;
    place bigint;
    field text;
    problem text;
BEGIN
    FOR task, place IN SELECT * FROM jsonb_array_elements(tasks) WITH ORDINALITY LOOP
        problem := NULL;
        IF jsonb_typeof(task) <> 'object' THEN
            problem := 'it must be an object, not ' || jsonb_typeof(task);
        ELSE
            SELECT format('"%s" is no parameter', key) INTO problem
            FROM jsonb_object_keys(task) AS keys (key)
            WHERE key NOT IN ('queue', 'kind', 'input', 'priority', 'run_at', 'delay',
                'max_attempts', 'timeout', 'idempotency_key', 'stale_after')
            LIMIT 1;
        END IF;
        IF problem IS NULL THEN
            FOREACH field IN ARRAY ARRAY[
                'priority', 'run_at', 'delay', 'max_attempts', 'timeout', 'stale_after'
            ] LOOP
                BEGIN
                    PERFORM hostler.task_fields(jsonb_build_object(field, task -> field));
                EXCEPTION WHEN data_exception THEN
                    problem := format('parameter "%s" cannot be read: %s', field, SQLERRM);
                    EXIT;
                END;
            END LOOP;
        END IF;
        IF problem IS NULL THEN
            SELECT coalesce(
                hostler.task_problem(
                    f.queue, f.kind, f.priority, f.run_at, f.delay, f.max_attempts, f.timeout,
                    f.idempotency_key, f.stale_after
                ),
                hostler.input_problem(f.input),
                CASE WHEN NOT EXISTS (SELECT FROM hostler.queues WHERE name = f.queue)
                    THEN 'parameter "queue": there is no such queue' END
            )
            INTO problem
            FROM hostler.task_fields(task) AS f;
        END IF;
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'cannot enqueue task % of %, into queue "%": %',
                place, jsonb_array_length(tasks), task ->> 'queue', problem
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION hostler.enqueue(
    queue text,
    kind text,
    input jsonb DEFAULT 'null',
    priority integer DEFAULT 0,
    run_at timestamptz DEFAULT NULL,
    delay interval DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    timeout interval DEFAULT NULL,
    idempotency_key text DEFAULT NULL,
    wake boolean DEFAULT NULL,
    stale_after interval DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    problem text := coalesce(
        hostler.task_problem(
            queue, kind, priority, run_at, delay, max_attempts, timeout, idempotency_key,
            stale_after
        ),
        hostler.input_problem(input)
    );
    due timestamptz;
    waits boolean;
    made uuid;
    is_new boolean;
BEGIN
    IF problem IS NULL AND NOT EXISTS (SELECT FROM hostler.queues WHERE name = enqueue.queue) THEN
        problem := 'parameter "queue": there is no such queue';
    END IF;
    IF problem IS NOT NULL THEN
        PERFORM hostler.refuse_task(enqueue.queue, problem);
    END IF;
    due := coalesce(enqueue.run_at, now() + enqueue.delay, now());
    waits := due > now();
    made := hostler.task_id_at((extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    -- As in sql/queries/tasks/submit.sql: the update changes nothing but makes the row visible,
    -- whenever it was committed; and a row that was inserted has no xmax.
    WITH inserted AS (
        INSERT INTO hostler.tasks (
            id, queue, kind, state, priority, run_at, max_attempts, timeout_ms, idempotency_key,
            stale_after_ms
        )
        VALUES (
            made, enqueue.queue, enqueue.kind,
            CASE WHEN waits THEN 'scheduled' ELSE 'pending' END::hostler.task_state,
            coalesce(enqueue.priority, 0), due,
            coalesce(
                enqueue.max_attempts,
                (SELECT max_attempts FROM hostler.queue_terms WHERE queue = enqueue.queue),
                (SELECT max_attempts FROM hostler.queue_terms WHERE queue = '')
            ),
            extract(epoch FROM enqueue.timeout) * 1000, enqueue.idempotency_key,
            extract(epoch FROM enqueue.stale_after) * 1000
        )
        ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO UPDATE
        SET idempotency_key = EXCLUDED.idempotency_key
        RETURNING tasks.id, tasks.xmax = 0 AS is_new
    ), inputs AS (
        INSERT INTO hostler.task_inputs (task_id, input)
        SELECT inserted.id, coalesce(enqueue.input, 'null') FROM inserted WHERE inserted.is_new
    )
    SELECT inserted.id, inserted.is_new INTO made, is_new FROM inserted;
    IF is_new AND NOT waits THEN
        PERFORM hostler.wake_hosts(enqueue.wake);
    END IF;
    RETURN made;
END
$$;

CREATE OR REPLACE FUNCTION hostler.enqueue_many(tasks jsonb, wake boolean DEFAULT NULL)
RETURNS TABLE (place bigint, task_id uuid, created boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    base CONSTANT bigint := extract(epoch FROM clock_timestamp()) * 1000000;
    wrong boolean;
    ready boolean;
BEGIN
    IF enqueue_many.tasks IS NULL OR jsonb_typeof(enqueue_many.tasks) <> 'array' THEN
        RAISE EXCEPTION 'cannot enqueue: parameter "tasks" must be a JSON array of objects'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- All at once where all is well, which is nearly always.
    BEGIN
        SELECT coalesce(bool_or(
            jsonb_typeof(given.task) <> 'object'
            OR given.task - ARRAY['queue', 'kind', 'input', 'priority', 'run_at', 'delay',
                'max_attempts', 'timeout', 'idempotency_key', 'stale_after'] <> '{}'
            OR hostler.task_problem(f.queue, f.kind, f.priority, f.run_at, f.delay,
                f.max_attempts, f.timeout, f.idempotency_key, f.stale_after) IS NOT NULL
            OR hostler.input_problem(f.input) IS NOT NULL
            OR NOT f.queue = ANY (ARRAY(SELECT name FROM hostler.queues))
        ), false)
        INTO wrong
        FROM jsonb_array_elements(enqueue_many.tasks) AS given (task)
        CROSS JOIN LATERAL hostler.task_fields(given.task) AS f;
    EXCEPTION WHEN data_exception THEN
        wrong := true;
    END;
    IF wrong THEN
        PERFORM hostler.refuse_tasks(enqueue_many.tasks);
    END IF;

    RETURN QUERY
    WITH given AS MATERIALIZED (
        SELECT given.place, f.*, coalesce(f.run_at, now() + f.delay, now()) AS due,
            hostler.task_id_at(base + given.place) AS id,
            -- The first of those that have the same key is the one that is sent.
            f.idempotency_key IS NULL
                OR row_number() OVER (PARTITION BY f.idempotency_key ORDER BY given.place) = 1
                AS sent
        FROM jsonb_array_elements(enqueue_many.tasks) WITH ORDINALITY AS given (task, place)
        CROSS JOIN LATERAL hostler.task_fields(given.task) AS f
    ), made AS (
        INSERT INTO hostler.tasks (
            id, queue, kind, state, priority, run_at, max_attempts, timeout_ms, idempotency_key,
            stale_after_ms
        )
        SELECT id, queue, kind,
            CASE WHEN due > now() THEN 'scheduled' ELSE 'pending' END::hostler.task_state,
            coalesce(priority, 0), due,
            coalesce(
                max_attempts,
                (SELECT max_attempts FROM hostler.queue_terms WHERE queue_terms.queue = given.queue),
                (SELECT max_attempts FROM hostler.queue_terms WHERE queue_terms.queue = '')
            ),
            extract(epoch FROM timeout) * 1000, idempotency_key,
            extract(epoch FROM stale_after) * 1000
        FROM given
        WHERE sent
        ORDER BY idempotency_key, id
        ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO UPDATE
        SET idempotency_key = EXCLUDED.idempotency_key
        RETURNING tasks.id, tasks.idempotency_key, tasks.xmax = 0 AS is_new
    ), inputs AS (
        INSERT INTO hostler.task_inputs (task_id, input)
        SELECT given.id, given.input
        FROM given
        WHERE given.sent AND given.id IN (SELECT made.id FROM made WHERE made.is_new)
    )
    SELECT given.place, made.id, made.is_new AND given.sent
    FROM given
    JOIN made ON coalesce('key ' || made.idempotency_key, made.id::text)
        = coalesce('key ' || given.idempotency_key, given.id::text)
    ORDER BY given.place;
    PERFORM hostler.wake_hosts(enqueue_many.wake);
END
$$;

-- As in 0016. One whose deadline has passed was chosen and then not given out, and kept the others from being
-- chosen for as long as no host failed it.
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

    -- Nor need there be one that gives out what was to wait.
    IF EXISTS (SELECT FROM hostler.tasks WHERE state = 'scheduled' AND run_at <= now()) THEN
        UPDATE hostler.tasks
        SET state = 'pending', version = version + 1
        WHERE id = ANY (ARRAY(
            SELECT id FROM hostler.tasks
            WHERE state = 'scheduled' AND run_at <= now()
            ORDER BY run_at
            LIMIT 100
            FOR UPDATE SKIP LOCKED
        ));
        PERFORM hostler.wake_hosts(NULL);
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
                AND tasks.lane IS NULL AND (tasks.deadline IS NULL OR tasks.deadline > now())
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

-- As in 0005, but for whom it wakes.
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
        WHEN outcome = 'failed' AND wait IS NULL THEN 'failed'
        WHEN held.cancel_requested OR outcome = 'cancelled' THEN 'cancelled'
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
