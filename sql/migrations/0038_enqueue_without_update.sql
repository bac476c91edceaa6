-- breaking: no
-- Every enqueue of one task fired all that an update of tasks fires: a statement that may update on a
-- conflict does, also where it only inserts. Now it is an insert that does nothing on a conflict, and then
-- a look at who was first.
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
    microseconds bigint;
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
    -- A variable: a function of SQL whose argument is an expression of the clock is planned at every call.
    microseconds := extract(epoch FROM clock_timestamp()) * 1000000;
    LOOP
        made := hostler.task_id_at(microseconds);
        WITH inserted AS (
            INSERT INTO hostler.tasks (
                id, queue, kind, state, priority, run_at, max_attempts, timeout_ms,
                idempotency_key, stale_after_ms
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
            -- Nothing, and not an update that changes nothing: that would fire all that an update fires.
            ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
            RETURNING tasks.id
        )
        INSERT INTO hostler.task_inputs (task_id, input)
        SELECT inserted.id, coalesce(enqueue.input, 'null') FROM inserted;
        is_new := FOUND;
        EXIT WHEN is_new;
        made := (SELECT id FROM hostler.tasks WHERE idempotency_key = enqueue.idempotency_key);
        -- Or it was deleted since: then this one may be the first again.
        EXIT WHEN made IS NOT NULL;
    END LOOP;
    IF is_new AND NOT waits THEN
        PERFORM hostler.wake_hosts(enqueue.wake);
    END IF;
    RETURN made;
END
$$;
