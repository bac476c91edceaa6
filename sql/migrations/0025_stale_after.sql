-- breaking: no
-- How long an agent may be silent at a task, where the task says so itself.

ALTER TABLE hostler.tasks
    ADD COLUMN stale_after_ms bigint CONSTRAINT stale_after_makes_sense CHECK (stale_after_ms > 0);
COMMENT ON COLUMN hostler.tasks.stale_after_ms IS
    'How long an agent may show no life at it. Null: what its fleet says.';

-- By SQL, too: the functions that enqueue, as in 0005, with one parameter more. Of those with another
-- list of parameters the old ones go, and who might call them may call the new ones.
DROP FUNCTION hostler.task_fields(jsonb);
CREATE FUNCTION hostler.task_fields(
    task jsonb, OUT queue text, OUT kind text, OUT input jsonb, OUT priority numeric,
    OUT run_at timestamptz, OUT delay interval, OUT max_attempts numeric, OUT timeout interval,
    OUT idempotency_key text, OUT stale_after interval
)
LANGUAGE sql STABLE AS $$
    SELECT task ->> 'queue', task ->> 'kind', coalesce(task -> 'input', 'null'),
        (task ->> 'priority')::numeric, (task ->> 'run_at')::timestamptz,
        (task ->> 'delay')::interval, (task ->> 'max_attempts')::numeric,
        (task ->> 'timeout')::interval, task ->> 'idempotency_key',
        (task ->> 'stale_after')::interval
$$;

DROP FUNCTION hostler.task_problem(text, text, numeric, timestamptz, interval, numeric, interval, text);
CREATE FUNCTION hostler.task_problem(
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
        WHEN run_at IN ('infinity', '-infinity') THEN 'parameter "run_at" must be finite'
        WHEN delay < interval '0' THEN 'parameter "delay" must not be negative'
        WHEN max_attempts NOT BETWEEN 1 AND 2147483647 OR max_attempts <> trunc(max_attempts)
            THEN 'parameter "max_attempts" must be a whole number, and at least 1'
        WHEN timeout < interval '1 millisecond'
            THEN 'parameter "timeout" must be at least a millisecond'
        WHEN stale_after < interval '1 millisecond'
            THEN 'parameter "stale_after" must be at least a millisecond'
        WHEN idempotency_key = '' THEN 'parameter "idempotency_key" must not be empty'
        WHEN length(idempotency_key) > 255
            THEN 'parameter "idempotency_key" is longer than 255 characters'
    END
$$;

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

ALTER FUNCTION hostler.enqueue(text, text, jsonb, integer, timestamptz, interval, integer, interval, text, boolean)
    RENAME TO enqueue_before;
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
    wake boolean DEFAULT NULL,
    stale_after interval DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    problem text := hostler.task_problem(
        queue, kind, priority, run_at, delay, max_attempts, timeout, idempotency_key,
        stale_after
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

REVOKE ALL ON FUNCTION
    hostler.task_fields(jsonb),
    hostler.task_problem(
        text, text, numeric, timestamptz, interval, numeric, interval, text, interval),
    hostler.enqueue(text, text, jsonb, integer, timestamptz, interval, integer, interval, text, boolean, interval)
FROM PUBLIC;

DO $$
DECLARE
    caller text;
BEGIN
    FOR caller IN
        SELECT grantee::regrole::text
        FROM pg_catalog.pg_proc
        CROSS JOIN LATERAL pg_catalog.aclexplode(proacl)
        WHERE pg_proc.oid = 'hostler.enqueue_before(text, text, jsonb, integer, timestamptz, interval, integer, interval, text, boolean)'::regprocedure
            AND grantee <> 0 AND grantee <> proowner
    LOOP
        EXECUTE format(
            'GRANT EXECUTE ON FUNCTION hostler.enqueue(text, text, jsonb, integer, timestamptz, interval, integer, interval, text, boolean, interval) TO %s',
            caller
        );
    END LOOP;
END
$$;
DROP FUNCTION hostler.enqueue_before(text, text, jsonb, integer, timestamptz, interval, integer, interval, text, boolean);

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

COMMENT ON FUNCTION hostler.enqueue(text, text, jsonb, integer, timestamptz, interval, integer, interval, text, boolean, interval) IS
'Submits a task in the transaction of the caller, and returns its id. With an idempotency_key that is taken: the id of the task that has it. wake: null wakes hosts at most every 10 ms, true always, false never; they look by themselves once a second.';
COMMENT ON FUNCTION hostler.task_problem(text, text, numeric, timestamptz, interval, numeric, interval, text, interval) IS 'Internal: what is wrong with a task that is to be submitted.';
COMMENT ON FUNCTION hostler.task_fields(jsonb) IS 'Internal: one task of an enqueue_many.';
