-- breaking: no
-- The SQL surface: functions for programs that speak SQL, and views for people. docs/SQL.md has an
-- example of each, and a test that runs them.
--
-- Whoever calls a function needs no right to a table: those below that are SECURITY DEFINER run
-- with the rights of the owner, under a search_path of their own, and are taken from PUBLIC.
-- sql/roles.sql says who may call what.

-- What tasks of a queue get that do not say otherwise, for SQL: a host that starts writes down its
-- settings here. The row of the queue '' is for those that have none. `retry` is a policy in full,
-- in the words of `tasks.retry`.
CREATE TABLE hostler.queue_terms (
    queue        text    PRIMARY KEY,
    max_attempts integer NOT NULL,
    timeout_ms   bigint,
    retry        jsonb   NOT NULL,
    CONSTRAINT terms_make_sense CHECK (max_attempts >= 1 AND timeout_ms > 0)
);

INSERT INTO hostler.queue_terms (queue, max_attempts, retry)
VALUES ('', 3, '{"kind": "exponential", "backoff_min_ms": 1000, "backoff_max_ms": 300000,
    "jitter": 0.5, "retry_on": [], "never_on": []}');

-- Who holds tasks: a host of ours, or an agent that is not ours and takes tasks by `claim_task`.
-- The name of the latter is that of the program that controls it; `agent` is its own.
ALTER TABLE hostler.hosts
    ADD COLUMN kind text NOT NULL DEFAULT 'host',
    ADD COLUMN agent text,
    ADD CONSTRAINT hosts_kind CHECK (kind IN ('host', 'external')),
    ADD CONSTRAINT hosts_agent_iff_external CHECK ((kind = 'external') = (agent IS NOT NULL));

-- When a submit by SQL last woke the hosts, in milliseconds of the epoch. A sequence is the one
-- thing that sessions share without a lock that lasts until they commit.
CREATE SEQUENCE hostler.wake_mark MINVALUE 0 START 0;

-- The id of a task that is made at `microseconds` of the epoch: a UUID version 7, whose 12 bits
-- after the version are the fraction of the millisecond. So ids that one session makes are in the
-- order in which it made them.
CREATE FUNCTION hostler.task_id_at(microseconds bigint) RETURNS uuid
LANGUAGE sql VOLATILE AS $$
    SELECT (
        lpad(to_hex(microseconds / 1000), 12, '0') || '7'
        || lpad(to_hex(microseconds % 1000 * 4096 / 1000), 3, '0')
        || substr(replace(gen_random_uuid()::text, '-', ''), 17)
    )::uuid
$$;

-- Tells hosts that there is work, with the commit of the caller. A commit with a NOTIFY holds a
-- lock of the whole server while it is flushed; so, unless `wake` says otherwise, no more than one
-- in 10 milliseconds has one, whoever submits. Hosts that hear of it look a second time, for those
-- that kept silent, and there is a poll behind it.
CREATE FUNCTION hostler.wake_hosts(wake boolean) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    now_ms CONSTANT bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    IF wake IS NULL THEN
        -- A clock that was set back must not silence everybody.
        IF now_ms - (SELECT last_value FROM hostler.wake_mark) BETWEEN 0 AND 9 THEN
            RETURN;
        END IF;
        PERFORM setval('hostler.wake_mark', now_ms);
    ELSIF NOT wake THEN
        RETURN;
    END IF;
    PERFORM pg_notify('hostler_wake', '*');
END
$$;

-- What is wrong with a task that is to be submitted, or null. One expression, so that the caller's
-- plan has it in place of a call.
CREATE FUNCTION hostler.task_problem(
    queue text, kind text, priority numeric, run_at timestamptz, delay interval,
    max_attempts numeric, timeout interval, idempotency_key text
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
        WHEN run_at IN ('infinity', '-infinity') THEN 'parameter "run_at" must be finite'
        WHEN delay < interval '0' THEN 'parameter "delay" must not be negative'
        WHEN max_attempts NOT BETWEEN 1 AND 2147483647 OR max_attempts <> trunc(max_attempts)
            THEN 'parameter "max_attempts" must be a whole number, and at least 1'
        WHEN timeout < interval '1 millisecond'
            THEN 'parameter "timeout" must be at least a millisecond'
        WHEN idempotency_key = '' THEN 'parameter "idempotency_key" must not be empty'
        WHEN length(idempotency_key) > 255
            THEN 'parameter "idempotency_key" is longer than 255 characters'
    END
$$;

CREATE FUNCTION hostler.refuse_task(queue text, problem text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'cannot enqueue into queue "%": %', queue, problem
        USING ERRCODE = 'invalid_parameter_value';
END
$$;

CREATE FUNCTION hostler.enqueue(
    queue text,
    kind text,
    input jsonb DEFAULT 'null',
    priority integer DEFAULT 0,
    run_at timestamptz DEFAULT NULL,
    delay interval DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    timeout interval DEFAULT NULL,
    idempotency_key text DEFAULT NULL,
    wake boolean DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    problem text := hostler.task_problem(
        queue, kind, priority, run_at, delay, max_attempts, timeout, idempotency_key
    );
    due CONSTANT timestamptz := coalesce(run_at, now() + delay, now());
    waits CONSTANT boolean := due > now();
    made uuid;
    is_new boolean;
BEGIN
    IF problem IS NULL AND NOT EXISTS (SELECT FROM hostler.queues WHERE name = enqueue.queue) THEN
        problem := 'parameter "queue": there is no such queue';
    END IF;
    IF problem IS NOT NULL THEN
        PERFORM hostler.refuse_task(enqueue.queue, problem);
    END IF;
    made := hostler.task_id_at((extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    -- As in sql/queries/tasks/submit.sql: the update changes nothing but makes the row visible,
    -- whenever it was committed; and a row that was inserted has no xmax.
    WITH inserted AS (
        INSERT INTO hostler.tasks (
            id, queue, kind, state, priority, run_at, max_attempts, timeout_ms, idempotency_key
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
            extract(epoch FROM enqueue.timeout) * 1000, enqueue.idempotency_key
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

-- One task of an `enqueue_many`, its fields with the types of their columns. What cannot be read
-- raises what the server says of it.
CREATE FUNCTION hostler.task_fields(
    task jsonb, OUT queue text, OUT kind text, OUT input jsonb, OUT priority numeric,
    OUT run_at timestamptz, OUT delay interval, OUT max_attempts numeric, OUT timeout interval,
    OUT idempotency_key text
)
LANGUAGE sql STABLE AS $$
    SELECT task ->> 'queue', task ->> 'kind', coalesce(task -> 'input', 'null'),
        (task ->> 'priority')::numeric, (task ->> 'run_at')::timestamptz,
        (task ->> 'delay')::interval, (task ->> 'max_attempts')::numeric,
        (task ->> 'timeout')::interval, task ->> 'idempotency_key'
$$;

-- Says of the first task of `tasks` that is wrong what is wrong with it; returns if none is.
-- Looks at one after the other: it is called where something is known to be wrong.
CREATE FUNCTION hostler.refuse_tasks(tasks jsonb) RETURNS void
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
                'max_attempts', 'timeout', 'idempotency_key')
            LIMIT 1;
        END IF;
        IF problem IS NULL THEN
            FOREACH field IN ARRAY ARRAY[
                'priority', 'run_at', 'delay', 'max_attempts', 'timeout'
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
                    f.idempotency_key
                ),
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

CREATE FUNCTION hostler.enqueue_many(tasks jsonb, wake boolean DEFAULT NULL)
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
                'max_attempts', 'timeout', 'idempotency_key'] <> '{}'
            OR hostler.task_problem(f.queue, f.kind, f.priority, f.run_at, f.delay,
                f.max_attempts, f.timeout, f.idempotency_key) IS NOT NULL
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
            id, queue, kind, state, priority, run_at, max_attempts, timeout_ms, idempotency_key
        )
        SELECT id, queue, kind,
            CASE WHEN due > now() THEN 'scheduled' ELSE 'pending' END::hostler.task_state,
            coalesce(priority, 0), due,
            coalesce(
                max_attempts,
                (SELECT max_attempts FROM hostler.queue_terms WHERE queue_terms.queue = given.queue),
                (SELECT max_attempts FROM hostler.queue_terms WHERE queue_terms.queue = '')
            ),
            extract(epoch FROM timeout) * 1000, idempotency_key
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

-- The wait before the next attempt of a task of `queue`, after one that failed as `task` with
-- `detail`, when `failures` failed before it; null where it is given up. `own` is what the task says
-- itself. The same as `after` in src/domain/retry.rs, and a test compares them. `dice` in 0 to 1
-- spreads the wait.
CREATE FUNCTION hostler.after_failure(
    queue text, own jsonb, detail jsonb, failures integer, max_attempts integer,
    dice double precision DEFAULT random()
) RETURNS interval
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    given CONSTANT jsonb := (
        SELECT retry FROM hostler.queue_terms
        WHERE queue_terms.queue IN (after_failure.queue, '') ORDER BY queue_terms.queue DESC LIMIT 1
    );
    policy CONSTANT jsonb := given || jsonb_strip_nulls(coalesce(own, '{}'));
    kinds CONSTANT text[] := ARRAY['task'] || CASE
        WHEN jsonb_typeof(detail -> 'code') = 'number' THEN ARRAY['task:' || (detail ->> 'code')]
    END;
    -- One end of the wait alone moves the other where it would be on the wrong side.
    longest CONSTANT numeric := CASE
        WHEN jsonb_typeof(own -> 'backoff_max_ms') = 'number' THEN policy -> 'backoff_max_ms'
        ELSE greatest(policy -> 'backoff_max_ms', policy -> 'backoff_min_ms')
    END;
    shortest CONSTANT numeric := least((policy -> 'backoff_min_ms')::numeric, longest);
    jitter CONSTANT double precision := policy -> 'jitter';
    failed CONSTANT integer := failures + 1;
BEGIN
    IF failed >= max_attempts
        OR policy -> 'never_on' ?| kinds
        OR policy -> 'retry_on' <> '[]' AND NOT policy -> 'retry_on' ?| kinds
    THEN
        RETURN NULL;
    END IF;
    RETURN least(
            shortest * CASE policy ->> 'kind'
                WHEN 'fixed' THEN 1
                WHEN 'linear' THEN failed
                ELSE 2::numeric ^ least(failed - 1, 40)
            END,
            longest
        ) * (1 - jitter + jitter * dice) * interval '1 millisecond';
END
$$;

-- The slot of an agent that is not ours: the same whenever it comes.
CREATE FUNCTION hostler.external_slot(agent_name text, control_agent text) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$
    SELECT md5(length(control_agent) || ':' || control_agent || agent_name)::uuid
$$;

CREATE FUNCTION hostler.check_agent(agent_name text, control_agent text, lease interval)
RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF agent_name IS NULL OR agent_name !~ '^[a-z0-9][a-z0-9_.-]{0,62}$' THEN
        RAISE EXCEPTION 'parameter "agent_name": "%" cannot be the name of an agent', agent_name
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use 1 to 63 characters, a to z, 0 to 9, "_", "." and "-", and begin with a letter or a digit.';
    ELSIF control_agent IS NULL OR length(control_agent) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'parameter "control_agent" of agent "%" must have 1 to 255 characters',
            agent_name
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF lease IS NULL OR lease NOT BETWEEN interval '1 second' AND interval '1 day' THEN
        RAISE EXCEPTION 'parameter "lease" of agent "%" must be from 1 second to 1 day, got %',
            agent_name, lease
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

CREATE FUNCTION hostler.claim_task(
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

-- Renews the lease of an agent that is not ours, and tells what it still holds.
CREATE FUNCTION hostler.heartbeat(
    agent_name text, control_agent text DEFAULT 'external', lease interval DEFAULT '1 minute'
) RETURNS TABLE (
    task_id uuid, attempt integer, cancel_requested boolean, lease_ends_at timestamptz
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    holder uuid;
    until timestamptz;
BEGIN
    PERFORM hostler.check_agent(agent_name, control_agent, lease);
    -- A lease that has ended and that nobody took over is as good as one that has not.
    UPDATE hostler.hosts
    SET lease_ends_at = clock_timestamp() + lease
    WHERE slot = hostler.external_slot(agent_name, control_agent)
    RETURNING id, lease_ends_at INTO holder, until;
    RETURN QUERY
    SELECT id, attempt, cancel_requested, until
    FROM hostler.tasks
    WHERE host_id = holder AND state IN ('running', 'awaiting_input')
    ORDER BY id;
END
$$;

-- Ends an attempt that an agent holds which is not ours, as sql/queries/tasks/settle.sql does for
-- hosts. False, and nothing changed, where the attempt is no longer the newest, or no longer its.
CREATE FUNCTION hostler.end_external_attempt(
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
    ELSIF next = 'pending' THEN
        PERFORM hostler.wake_hosts(NULL);
    END IF;
    RETURN true;
END
$$;

CREATE FUNCTION hostler.complete_task(
    task_id uuid,
    output jsonb DEFAULT 'null',
    attempt integer DEFAULT NULL,
    agent_name text DEFAULT NULL,
    control_agent text DEFAULT 'external'
) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT hostler.end_external_attempt(
        task_id, attempt, agent_name, control_agent, 'completed', coalesce(output, 'null'),
        NULL, NULL, NULL
    )
$$;

CREATE FUNCTION hostler.fail_task(
    task_id uuid,
    error text,
    attempt integer DEFAULT NULL,
    agent_name text DEFAULT NULL,
    control_agent text DEFAULT 'external',
    detail jsonb DEFAULT 'null'
) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT hostler.end_external_attempt(
        task_id, attempt, agent_name, control_agent, 'failed', NULL,
        coalesce(error, ''), coalesce(detail, 'null'), NULL
    )
$$;

CREATE FUNCTION hostler.release_task(
    task_id uuid,
    reason text,
    attempt integer DEFAULT NULL,
    agent_name text DEFAULT NULL,
    control_agent text DEFAULT 'external'
) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT hostler.end_external_attempt(
        task_id, attempt, agent_name, control_agent, 'released', NULL,
        NULL, NULL, coalesce(reason, 'its agent put it back')
    )
$$;

-- What became of a task, for whoever submitted it.
CREATE FUNCTION hostler.task_result(
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
$$;

-- Views for people. They show what the tables have, in words; none is meant for a program that
-- asks often.

CREATE VIEW hostler.task_overview AS
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
) AS failure ON true;

CREATE VIEW hostler.running_tasks AS
SELECT tasks.id AS task, tasks.queue, tasks.kind, tasks.state, tasks.attempt,
    hosts.name AS host, tasks.agent, tasks.started_at, now() - tasks.started_at AS running_for,
    hosts.lease_ends_at, tasks.cancel_requested, task_inputs.input
FROM hostler.tasks
LEFT JOIN hostler.hosts ON hosts.id = tasks.host_id
LEFT JOIN hostler.task_inputs ON task_inputs.task_id = tasks.id
WHERE tasks.state IN ('running', 'awaiting_input');

CREATE VIEW hostler.dead_letters AS
SELECT tasks.id AS task, tasks.queue, tasks.kind, tasks.finished_at AS failed_at, tasks.failures,
    failure.class AS error_class, failure.message AS error, failure.detail AS error_detail,
    failure.agent, task_inputs.input
FROM hostler.tasks
LEFT JOIN hostler.task_inputs ON task_inputs.task_id = tasks.id
LEFT JOIN LATERAL (
    SELECT attempts.class, attempts.message, attempts.detail, attempts.agent
    FROM hostler.attempts
    WHERE attempts.task_id = tasks.id AND attempts.outcome = 'failed'
    ORDER BY attempts.attempt DESC
    LIMIT 1
) AS failure ON true
WHERE tasks.state = 'failed';

CREATE VIEW hostler.queue_overview AS
SELECT queues.name AS queue, queues.description, queues.paused, queues.paused_reason,
    depth.blocked, depth.scheduled, depth.pending, depth.running, depth.awaiting_input,
    depth.failed, oldest.waiting AS oldest_pending
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
) AS oldest ON true;

CREATE VIEW hostler.host_overview AS
SELECT hosts.name AS host, hosts.kind, hosts.agent, hosts.version, hosts.started_at,
    hosts.lease_ends_at, hosts.lease_ends_at > now() AS is_alive,
    (
        SELECT count(*) FROM hostler.tasks
        WHERE tasks.host_id = hosts.id AND tasks.state IN ('running', 'awaiting_input')
    ) AS running_tasks
FROM hostler.hosts;

CREATE VIEW hostler.agent_overview AS
SELECT tasks.agent, hosts.name AS host, hosts.kind AS host_kind, count(*) AS running_tasks,
    min(tasks.started_at) AS busy_since, min(tasks.id::text)::uuid AS oldest_task
FROM hostler.tasks
JOIN hostler.hosts ON hosts.id = tasks.host_id
WHERE tasks.state IN ('running', 'awaiting_input')
GROUP BY tasks.agent, hosts.id;

-- Nobody may call with the owner's rights but whom sql/roles.sql names.
REVOKE ALL ON FUNCTION
    hostler.enqueue(
        text, text, jsonb, integer, timestamptz, interval, integer, interval, text, boolean),
    hostler.enqueue_many(jsonb, boolean),
    hostler.claim_task(text, text, text[], interval),
    hostler.heartbeat(text, text, interval),
    hostler.complete_task(uuid, jsonb, integer, text, text),
    hostler.fail_task(uuid, text, integer, text, text, jsonb),
    hostler.release_task(uuid, text, integer, text, text),
    hostler.task_result(uuid)
FROM PUBLIC;

COMMENT ON SCHEMA hostler IS 'Tasks, and who runs them. Views for people end in _overview; functions for programs are in docs/SQL.md.';

COMMENT ON TABLE hostler.tasks IS 'One row a task, from its submit on.';
COMMENT ON TABLE hostler.task_inputs IS 'The input of each task.';
COMMENT ON TABLE hostler.task_results IS 'The output of each completed task.';
COMMENT ON TABLE hostler.attempts IS 'One row for each ended attempt of a task: how, by whom, and why it failed or was put back.';
COMMENT ON TABLE hostler.task_events IS 'The steps of each task, numbered from 1 without a gap.';
COMMENT ON TABLE hostler.queue_terms IS 'What tasks of a queue get that SQL submits, and how failures are tried again that fail_task tells. Written by a host that starts, from its settings; the queue with no name is for the others.';
COMMENT ON TABLE hostler.queues IS 'The queues. Tasks of a paused one are held back.';
COMMENT ON TABLE hostler.hosts IS 'Who may hold tasks until when: hosts, and agents that are not ours (kind external).';
COMMENT ON TABLE hostler.schema_versions IS 'The migrations that have run, and whether they break older programs.';
COMMENT ON TABLE hostler.task_unique IS 'The unique keys of queues, and the newest task submitted with each.';
COMMENT ON TABLE hostler.leader IS 'One row: the host that leads, and since when. The term counts the changes.';
COMMENT ON SEQUENCE hostler.wake_mark IS 'When a submit by SQL last woke the hosts, in milliseconds of the epoch.';

COMMENT ON FUNCTION hostler.enqueue(text, text, jsonb, integer, timestamptz, interval, integer, interval, text, boolean) IS
'Submits a task in the transaction of the caller, and returns its id. With an idempotency_key that is taken: the id of the task that has it. wake: null wakes hosts at most every 10 ms, true always, false never; they look by themselves once a second.';
COMMENT ON FUNCTION hostler.enqueue_many(jsonb, boolean) IS
'Submits a JSON array of objects, whose fields are the parameters of enqueue; all or none. Returns place (from 1), id, and whether it was made or found by its key.';
COMMENT ON FUNCTION hostler.claim_task(text, text, text[], interval) IS
'Hands the next task to an agent that is not ours, for as long as its lease lasts: heartbeat renews it. No row if there is none.';
COMMENT ON FUNCTION hostler.heartbeat(text, text, interval) IS
'Renews the lease of an agent that claims by claim_task, and returns what it holds. A task that is missing there is no longer its: it must stop working on it.';
COMMENT ON FUNCTION hostler.complete_task(uuid, jsonb, integer, text, text) IS
'Ends the attempt of a claimed task with a result. False if the answer comes too late: it changed nothing.';
COMMENT ON FUNCTION hostler.fail_task(uuid, text, integer, text, text, jsonb) IS
'Ends the attempt of a claimed task with an error; it is tried again after a wait, or failed if that was its last. False if the answer comes too late.';
COMMENT ON FUNCTION hostler.release_task(uuid, text, integer, text, text) IS
'Puts a claimed task back, without using up a try. False if it is no longer held under that number.';
COMMENT ON FUNCTION hostler.task_result(uuid) IS
'Where a task is, and its output or newest error. All null if it is unknown.';

COMMENT ON FUNCTION hostler.task_id_at(bigint) IS 'Internal: a UUID version 7 for that microsecond of the epoch.';
COMMENT ON FUNCTION hostler.wake_hosts(boolean) IS 'Internal: the NOTIFY of a submit, or not.';
COMMENT ON FUNCTION hostler.task_problem(text, text, numeric, timestamptz, interval, numeric, interval, text) IS 'Internal: what is wrong with a task that is to be submitted.';
COMMENT ON FUNCTION hostler.task_fields(jsonb) IS 'Internal: one task of an enqueue_many.';
COMMENT ON FUNCTION hostler.refuse_task(text, text) IS 'Internal: the error of enqueue.';
COMMENT ON FUNCTION hostler.refuse_tasks(jsonb) IS 'Internal: the error of enqueue_many.';
COMMENT ON FUNCTION hostler.after_failure(text, jsonb, jsonb, integer, integer, double precision) IS 'Internal: the wait after a failed attempt, or null.';
COMMENT ON FUNCTION hostler.external_slot(text, text) IS 'Internal: the slot in hosts of an agent that is not ours.';
COMMENT ON FUNCTION hostler.check_agent(text, text, interval) IS 'Internal: refuses bad names and leases.';
COMMENT ON FUNCTION hostler.end_external_attempt(uuid, integer, text, text, hostler.attempt_outcome, jsonb, text, jsonb, text) IS 'Internal: ends an attempt of an agent that is not ours.';
COMMENT ON FUNCTION hostler.put_back(uuid[], text, uuid[]) IS 'Internal: puts back what lost hosts hold.';
COMMENT ON FUNCTION hostler.refuse_task_step() IS 'Internal: the error of a step that is not legal.';
COMMENT ON FUNCTION hostler.record_new_tasks() IS 'Internal: writes the first event of a task.';
COMMENT ON FUNCTION hostler.record_task_steps() IS 'Internal: writes an event for each step.';
COMMENT ON FUNCTION hostler.forget_deleted_keys() IS 'Internal: gives up the unique keys of a deleted task.';
COMMENT ON FUNCTION hostler.forget_deleted_tasks() IS 'Internal: deletes what hangs on a deleted task.';

COMMENT ON VIEW hostler.task_overview IS 'Every task with its input, output and newest error.';
COMMENT ON VIEW hostler.running_tasks IS 'What runs now: where, by whom, for how long, and until when its lease lasts.';
COMMENT ON VIEW hostler.dead_letters IS 'Failed tasks, with the error of the last attempt. They are kept until retention, and can be retried by hand.';
COMMENT ON VIEW hostler.queue_overview IS 'Every queue with the number of its tasks that are not done, and how long the oldest pending one waits.';
COMMENT ON VIEW hostler.host_overview IS 'Hosts, and agents that are not ours, with what they hold and whether their lease lasts.';
COMMENT ON VIEW hostler.agent_overview IS 'Agents that have a task now.';
