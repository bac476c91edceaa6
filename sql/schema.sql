-- The schema after all migrations, written by a test: do not edit.

CREATE TYPE hostler.attempt_outcome AS ENUM (
    'completed',
    'failed',
    'released',
    'cancelled'
);

CREATE TYPE hostler.dependency_policy AS ENUM (
    'cancel',
    'run',
    'hold'
);

CREATE TYPE hostler.failure_class AS ENUM (
    'exit',
    'task',
    'timeout',
    'stale',
    'spawn',
    'protocol',
    'host_lost',
    'internal',
    'input'
);

CREATE TYPE hostler.task_state AS ENUM (
    'blocked',
    'scheduled',
    'pending',
    'running',
    'awaiting_input',
    'completed',
    'failed',
    'cancelled'
);

CREATE TABLE hostler.attempts (
    task_id uuid NOT NULL,
    attempt integer NOT NULL,
    outcome attempt_outcome NOT NULL,
    class failure_class,
    message text,
    detail jsonb,
    reason text,
    host_id uuid NOT NULL,
    agent text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT attempt_is_numbered CHECK ((attempt >= 1)),
    CONSTRAINT attempts_pkey PRIMARY KEY (task_id, attempt),
    CONSTRAINT failed_says_how CHECK (((outcome <> 'failed'::attempt_outcome) OR (num_nonnulls(class, message, detail) = 3))),
    CONSTRAINT released_says_why CHECK (((outcome <> 'released'::attempt_outcome) OR (reason IS NOT NULL)))
);

CREATE TABLE hostler.dependencies (
    task_id uuid NOT NULL,
    place integer NOT NULL,
    depends_on uuid NOT NULL,
    name text NOT NULL,
    used boolean NOT NULL DEFAULT false,
    waived boolean NOT NULL DEFAULT false,
    CONSTRAINT a_dependency_is_older CHECK ((depends_on < task_id)),
    CONSTRAINT dependencies_pkey PRIMARY KEY (task_id, place),
    CONSTRAINT name_is_short CHECK (((length(name) >= 1) AND (length(name) <= 64)))
);

CREATE TABLE hostler.dependents (
    task_id uuid NOT NULL,
    policy dependency_policy NOT NULL,
    open integer NOT NULL,
    template boolean NOT NULL DEFAULT false,
    stopped_by uuid,
    cause uuid,
    CONSTRAINT dependents_pkey PRIMARY KEY (task_id),
    CONSTRAINT open_is_a_count CHECK ((open >= 0))
) WITH (fillfactor=80);

CREATE TABLE hostler.hosts (
    id uuid NOT NULL,
    slot uuid NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    started_at timestamp with time zone NOT NULL DEFAULT now(),
    lease_ends_at timestamp with time zone NOT NULL,
    CONSTRAINT hosts_one_per_slot UNIQUE (slot),
    CONSTRAINT hosts_pkey PRIMARY KEY (id)
) WITH (fillfactor=50);

CREATE TABLE hostler.queues (
    name text NOT NULL,
    description text NOT NULL DEFAULT ''::text,
    paused boolean NOT NULL DEFAULT false,
    paused_reason text,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT name_is_plain CHECK ((name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'::text)),
    CONSTRAINT queues_pkey PRIMARY KEY (name),
    CONSTRAINT reason_only_while_paused CHECK ((paused OR (paused_reason IS NULL)))
);

CREATE TABLE hostler.schema_history (
    version integer NOT NULL,
    name character varying(255),
    applied_on character varying(255),
    checksum character varying(255),
    CONSTRAINT schema_history_pkey PRIMARY KEY (version)
);

CREATE TABLE hostler.schema_versions (
    version integer NOT NULL,
    breaking boolean NOT NULL,
    reason text,
    applied_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT a_break_has_its_reason CHECK (((NOT breaking) OR (reason IS NOT NULL))),
    CONSTRAINT schema_versions_pkey PRIMARY KEY (version)
);

CREATE TABLE hostler.task_events (
    task_id uuid NOT NULL,
    number integer NOT NULL,
    state task_state NOT NULL,
    attempt integer NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT task_events_pkey PRIMARY KEY (task_id, number)
);

CREATE TABLE hostler.task_inputs (
    task_id uuid NOT NULL,
    input jsonb NOT NULL,
    CONSTRAINT task_inputs_pkey PRIMARY KEY (task_id)
);

CREATE TABLE hostler.task_results (
    task_id uuid NOT NULL,
    output jsonb NOT NULL,
    CONSTRAINT task_results_pkey PRIMARY KEY (task_id)
);

CREATE TABLE hostler.tasks (
    id uuid NOT NULL,
    queue text NOT NULL,
    kind text NOT NULL,
    state task_state NOT NULL,
    priority smallint NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    version integer NOT NULL DEFAULT 1,
    timeout_ms bigint,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    run_at timestamp with time zone NOT NULL DEFAULT now(),
    finished_at timestamp with time zone,
    host_id uuid,
    agent text,
    started_at timestamp with time zone,
    cancel_requested boolean NOT NULL DEFAULT false,
    idempotency_key text,
    CONSTRAINT cancel_is_asked_of_a_holder CHECK (((NOT cancel_requested) OR (state = ANY (ARRAY['running'::task_state, 'awaiting_input'::task_state])))),
    CONSTRAINT counts_make_sense CHECK (((attempt >= 0) AND (failures >= 0) AND (failures <= attempt) AND (max_attempts >= 1) AND (version >= 1) AND (timeout_ms > 0))),
    CONSTRAINT finished_iff_final CHECK (((state = ANY (ARRAY['completed'::task_state, 'failed'::task_state, 'cancelled'::task_state])) = (finished_at IS NOT NULL))),
    CONSTRAINT held_iff_a_host_holds_it CHECK ((num_nonnulls(host_id, agent, started_at) =
CASE
    WHEN (state = ANY (ARRAY['running'::task_state, 'awaiting_input'::task_state])) THEN 3
    ELSE 0
END)),
    CONSTRAINT held_under_a_number CHECK (((attempt >= 1) OR (state <> ALL (ARRAY['running'::task_state, 'awaiting_input'::task_state, 'completed'::task_state, 'failed'::task_state])))),
    CONSTRAINT tasks_pkey PRIMARY KEY (id),
    CONSTRAINT texts_are_short CHECK (((length(kind) <= 255) AND ((length(idempotency_key) >= 1) AND (length(idempotency_key) <= 255))))
) WITH (autovacuum_vacuum_scale_factor=0.02, autovacuum_analyze_scale_factor=0.02);

CREATE INDEX dependencies_on ON hostler.dependencies USING btree (depends_on, task_id);

CREATE INDEX tasks_held ON hostler.tasks USING btree (host_id, id) WHERE (state = ANY (ARRAY['running'::task_state, 'awaiting_input'::task_state]));

CREATE UNIQUE INDEX tasks_idempotency_key ON hostler.tasks USING btree (idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX tasks_listed ON hostler.tasks USING btree (queue, state, id);

CREATE INDEX tasks_pending ON hostler.tasks USING btree (queue, priority DESC, id) INCLUDE (run_at) WHERE (state = 'pending'::task_state);

CREATE INDEX tasks_scheduled ON hostler.tasks USING btree (run_at) WHERE (state = 'scheduled'::task_state);

CREATE OR REPLACE FUNCTION hostler.blocked_by(ended uuid)
 RETURNS TABLE(blocked_task uuid, blocked_policy dependency_policy)
 LANGUAGE sql
 STABLE ROWS 10
AS $function$
    SELECT dependencies.task_id,
        (SELECT policy FROM hostler.dependents WHERE dependents.task_id = dependencies.task_id)
    FROM hostler.dependencies
    WHERE dependencies.depends_on = ended AND NOT dependencies.waived
        AND (SELECT state FROM hostler.tasks WHERE tasks.id = dependencies.task_id) = 'blocked'
    OFFSET 0
$function$;

CREATE OR REPLACE FUNCTION hostler.cancel_dependents(doomed uuid[], bad uuid[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE hostler.tasks
    SET state = 'cancelled', version = version + 1, finished_at = now()
    WHERE id = ANY (doomed) AND state IS NOT DISTINCT FROM 'blocked';
    PERFORM hostler.note_causes(doomed, bad);
END
$function$;

CREATE OR REPLACE FUNCTION hostler.close_dependencies(ended uuid[], became task_state[])
 RETURNS uuid[]
 LANGUAGE sql
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
    WITH done AS (
        UPDATE hostler.dependents
        SET open = dependents.open - closed.count
        FROM (
            SELECT blocked_task, count(*)::integer AS count
            FROM unnest(ended, became) AS one (id, state)
            CROSS JOIN LATERAL hostler.blocked_by(one.id)
            WHERE hostler.dependency_is_done(blocked_policy, one.state)
            GROUP BY blocked_task
        ) AS closed
        WHERE dependents.task_id = closed.blocked_task
        RETURNING dependents.task_id, dependents.open
    )
    SELECT array_agg(task_id) FROM done WHERE open = 0
$function$;

CREATE OR REPLACE FUNCTION hostler.count_open(waiting uuid[])
 RETURNS void
 LANGUAGE sql
AS $function$
    UPDATE hostler.dependents
    SET open = (
        SELECT count(*)
        FROM hostler.dependencies
        WHERE dependencies.task_id = dependents.task_id AND NOT dependencies.waived
            AND NOT hostler.dependency_is_done(dependents.policy, (
                SELECT state FROM hostler.tasks WHERE tasks.id = dependencies.depends_on
            ))
    )
    WHERE task_id = ANY (waiting)
$function$;

CREATE OR REPLACE FUNCTION hostler.dependencies_ended(ended uuid[], became task_state[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    bad uuid[] := ARRAY(
        SELECT id FROM unnest(ended, became) AS one (id, state) WHERE state <> 'completed'
    );
    doomed uuid[] := '{}';
    held uuid[];
    before uuid[];
    ready uuid[];
BEGIN
    LOOP
        IF bad <> '{}' THEN
            doomed := hostler.doomed_by(bad);
        END IF;
        held := hostler.lock_dependents(ended || doomed);
        -- What is locked stays as it is, but until it was, tasks may have come and gone.
        EXIT WHEN doomed = '{}' OR held = before;
        before := held;
    END LOOP;
    IF held = '{}' THEN
        RETURN;
    END IF;
    ready := hostler.close_dependencies(ended, became);
    IF doomed <> '{}' THEN
        -- Its trigger comes back here for those that depend on these and go on without them.
        PERFORM hostler.cancel_dependents(doomed, bad);
    END IF;
    IF ready IS NOT NULL THEN
        PERFORM hostler.unblock(ready);
    END IF;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.dependencies_retried(again uuid[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    held uuid[] := hostler.lock_dependents(again);
BEGIN
    IF held <> '{}' THEN
        PERFORM hostler.count_open(ARRAY(
            SELECT task_id FROM hostler.dependents WHERE task_id = ANY (held) AND policy = 'run'
        ));
    END IF;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.dependency_is_done(policy dependency_policy, state task_state)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT state = 'completed' OR (policy = 'run' AND state IN ('failed', 'cancelled'))
$function$;

CREATE OR REPLACE FUNCTION hostler.dependency_results(wanted uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
    WITH limits (most) AS (VALUES (4194304)),
    found AS MATERIALIZED (
        SELECT dependencies.name,
            jsonb_build_object(
                'id', 'tsk_' || replace(dependencies.depends_on::text, '-', ''),
                'state',
                (SELECT state FROM hostler.tasks WHERE tasks.id = dependencies.depends_on),
                'output',
                (SELECT output FROM hostler.task_results AS kept
                WHERE kept.task_id = dependencies.depends_on),
                'error',
                (SELECT jsonb_build_object('class', class, 'message', message)
                FROM hostler.attempts
                WHERE attempts.task_id = dependencies.depends_on AND outcome = 'failed'
                ORDER BY attempt DESC
                LIMIT 1)
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
$function$;

CREATE OR REPLACE FUNCTION hostler.doomed_by(bad uuid[])
 RETURNS uuid[]
 LANGUAGE sql
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
    WITH RECURSIVE doomed (id) AS (
        SELECT blocked_task
        FROM unnest(bad) AS began (id) CROSS JOIN LATERAL hostler.blocked_by(began.id)
        WHERE blocked_policy = 'cancel'
        UNION
        SELECT blocked_task
        FROM doomed CROSS JOIN LATERAL hostler.blocked_by(doomed.id)
        WHERE blocked_policy = 'cancel'
    )
    SELECT coalesce(array_agg(id), '{}') FROM doomed
$function$;

CREATE OR REPLACE FUNCTION hostler.forget_deleted_tasks()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    DELETE FROM hostler.task_inputs WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    DELETE FROM hostler.task_results WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    DELETE FROM hostler.attempts WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    DELETE FROM hostler.task_events WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.forget_dependencies()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    DELETE FROM hostler.dependents WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    DELETE FROM hostler.dependencies WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.held_by(wanted uuid)
 RETURNS uuid
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
    SELECT depends_on
    FROM hostler.dependencies
    WHERE task_id = wanted AND NOT waived AND NOT hostler.is_hopeful(
        (SELECT policy FROM hostler.dependents WHERE task_id = wanted),
        (SELECT state FROM hostler.tasks WHERE tasks.id = dependencies.depends_on)
    )
    ORDER BY place
    LIMIT 1
$function$;

CREATE OR REPLACE FUNCTION hostler.is_awaited(wanted uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (
        SELECT FROM hostler.dependencies
        JOIN hostler.tasks ON tasks.id = dependencies.task_id
        WHERE dependencies.depends_on = wanted
            AND tasks.state NOT IN ('completed', 'failed', 'cancelled')
    )
$function$;

CREATE OR REPLACE FUNCTION hostler.is_hopeful(policy dependency_policy, state task_state)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT state IS NOT NULL
        AND (state NOT IN ('failed', 'cancelled') OR hostler.dependency_is_done(policy, state))
$function$;

CREATE OR REPLACE FUNCTION hostler.lock_dependencies(wanted uuid[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM id FROM hostler.tasks
    WHERE id = ANY (wanted)
        AND state IS DISTINCT FROM 'blocked' AND state IS DISTINCT FROM 'completed'
    ORDER BY id
    FOR SHARE;
    PERFORM id FROM hostler.tasks
    WHERE id = ANY (wanted) AND state IS DISTINCT FROM 'completed'
    ORDER BY id
    FOR SHARE;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.lock_dependents(ended uuid[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
DECLARE
    touched uuid[] := ARRAY(
        SELECT DISTINCT blocked_task
        FROM unnest(ended) AS one (id) CROSS JOIN LATERAL hostler.blocked_by(one.id)
        ORDER BY blocked_task
    );
BEGIN
    PERFORM id FROM hostler.tasks
    WHERE id = ANY (touched) AND state IS NOT DISTINCT FROM 'blocked'
    ORDER BY id
    FOR NO KEY UPDATE;
    RETURN touched;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.note_causes(doomed uuid[], bad uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
BEGIN
    UPDATE hostler.dependents
    SET cause = CASE WHEN cardinality(bad) = 1 THEN bad[1] END,
        stopped_by = (
            SELECT dependencies.depends_on
            FROM hostler.dependencies
            WHERE dependencies.task_id = dependents.task_id AND NOT dependencies.waived
                AND (SELECT state FROM hostler.tasks WHERE tasks.id = dependencies.depends_on)
                    IN ('failed', 'cancelled')
            ORDER BY dependencies.place
            LIMIT 1
        )
    WHERE task_id = ANY (doomed);
    IF cardinality(bad) = 1 THEN
        RETURN;
    END IF;
    -- Each has one that stopped it, so following these from `bad` on meets each once.
    WITH RECURSIVE stopped (id, cause) AS (
        SELECT id, id FROM unnest(bad) AS began (id)
        UNION
        SELECT next.id, stopped.cause
        FROM stopped CROSS JOIN LATERAL (
            SELECT dependencies.task_id
            FROM hostler.dependencies
            WHERE dependencies.depends_on = stopped.id AND stopped.id = (
                SELECT stopped_by FROM hostler.dependents
                WHERE dependents.task_id = dependencies.task_id
            )
            OFFSET 0
        ) AS next (id)
    )
    UPDATE hostler.dependents
    SET cause = stopped.cause
    FROM stopped
    WHERE dependents.task_id = stopped.id AND stopped.id <> stopped.cause;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.put_back(lost_hosts uuid[], why text, keep uuid[] DEFAULT '{}'::uuid[])
 RETURNS TABLE(put_back_task uuid, put_back_queue text, put_back_attempt integer, put_back_state task_state)
 LANGUAGE sql
AS $function$
    WITH held AS MATERIALIZED (
        SELECT id, queue, attempt, host_id, agent, started_at, cancel_requested
        FROM hostler.tasks
        WHERE state IN ('running', 'awaiting_input') AND host_id = ANY (lost_hosts)
            AND id <> ALL (keep)
        ORDER BY id
        FOR UPDATE
    ), returned AS (
        UPDATE hostler.tasks
        SET state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'pending' END
                ::hostler.task_state,
            finished_at = CASE WHEN cancel_requested THEN now() END,
            version = version + 1,
            host_id = NULL, agent = NULL, started_at = NULL, cancel_requested = false
        WHERE id = ANY (ARRAY(SELECT held.id FROM held))
    ), history AS (
        INSERT INTO hostler.attempts
            (task_id, attempt, outcome, class, reason, host_id, agent, started_at)
        SELECT id, attempt, 'released', 'host_lost', why, host_id, agent, started_at
        FROM held
    )
    SELECT id, queue, attempt,
        CASE WHEN cancel_requested THEN 'cancelled' ELSE 'pending' END::hostler.task_state
    FROM held
    ORDER BY id
$function$;

CREATE OR REPLACE FUNCTION hostler.record_new_tasks()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO hostler.task_events (task_id, number, state, attempt)
    SELECT id, version, state, attempt FROM made;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.record_task_steps()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_nestloop TO 'off'
AS $function$
BEGIN
    INSERT INTO hostler.task_events (task_id, number, state, attempt)
    SELECT after.id, after.version, after.state, after.attempt
    FROM after JOIN before USING (id)
    WHERE after.version <> before.version;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.refuse_task_step()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'INSERT' THEN
        RAISE EXCEPTION 'a task cannot begin as % with version % and attempt %',
            NEW.state, NEW.version, NEW.attempt
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tasks_step',
                SCHEMA = 'hostler', TABLE = 'tasks';
    ELSIF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'task % is % and cannot be deleted before it is final',
            OLD.id, OLD.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tasks_step',
                SCHEMA = 'hostler', TABLE = 'tasks', HINT = 'Cancel it first.';
    END IF;
    RAISE EXCEPTION 'task % cannot go from % (version %, attempt %) to % (version %, attempt %)',
        OLD.id, OLD.state, OLD.version, OLD.attempt, NEW.state, NEW.version, NEW.attempt
        USING ERRCODE = 'check_violation', CONSTRAINT = 'tasks_step',
            SCHEMA = 'hostler', TABLE = 'tasks',
            HINT = 'A change of state adds 1 to version; a claim, and nothing else, adds 1 to attempt.';
END
$function$;

CREATE OR REPLACE FUNCTION hostler.release_dependent(wanted uuid)
 RETURNS TABLE(released_from task_state, released_to task_state, released_queue text, waived_count integer, still_open integer)
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    SELECT state, queue, 0, 0 INTO released_from, released_queue, waived_count, still_open
    FROM hostler.tasks WHERE id = wanted FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF released_from = 'blocked' THEN
        UPDATE hostler.dependencies
        SET waived = true
        WHERE task_id = wanted AND NOT waived
            AND NOT hostler.is_hopeful(
                (SELECT policy FROM hostler.dependents WHERE task_id = wanted),
                (SELECT state FROM hostler.tasks WHERE tasks.id = dependencies.depends_on)
            );
        GET DIAGNOSTICS waived_count = ROW_COUNT;
        IF waived_count > 0 THEN
            PERFORM hostler.count_open(ARRAY[wanted]);
        END IF;
        still_open := coalesce(
            (SELECT open FROM hostler.dependents WHERE task_id = wanted), 0
        );
        IF still_open = 0 THEN
            PERFORM hostler.unblock(ARRAY[wanted]);
        END IF;
    END IF;
    SELECT state INTO released_to FROM hostler.tasks WHERE id = wanted;
    RETURN NEXT;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.retry_waits()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF EXISTS (SELECT FROM hostler.dependents WHERE task_id = NEW.id) THEN
        PERFORM hostler.lock_dependencies(
            ARRAY(SELECT depends_on FROM hostler.dependencies WHERE task_id = NEW.id)
        );
        PERFORM hostler.count_open(ARRAY[NEW.id]);
        UPDATE hostler.dependents SET stopped_by = NULL, cause = NULL WHERE task_id = NEW.id;
        IF (SELECT open > 0 FROM hostler.dependents WHERE task_id = NEW.id) THEN
            NEW.state := 'blocked';
        END IF;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.tell_dependents()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    wanted uuid[] := ARRAY(
        SELECT id FROM after WHERE state IN ('completed', 'failed', 'cancelled')
    );
    ended uuid[];
    became hostler.task_state[];
    again uuid[];
BEGIN
    IF wanted <> '{}'
        AND EXISTS (SELECT FROM hostler.dependencies WHERE depends_on = ANY (wanted))
    THEN
        -- EXCEPT, because a join could be planned for one row and then meet thousands.
        SELECT array_agg(id), array_agg(state) INTO ended, became
        FROM (
            SELECT id, state FROM after WHERE state IN ('completed', 'failed', 'cancelled')
            EXCEPT
            SELECT id, state FROM before
        ) AS one;
        IF ended IS NOT NULL THEN
            PERFORM hostler.dependencies_ended(ended, became);
        END IF;
    END IF;
    wanted := ARRAY(SELECT id FROM before WHERE state IN ('failed', 'cancelled'));
    IF wanted <> '{}'
        AND EXISTS (SELECT FROM hostler.dependencies WHERE depends_on = ANY (wanted))
    THEN
        SELECT array_agg(id) INTO again
        FROM (
            SELECT id FROM before WHERE state IN ('failed', 'cancelled')
            EXCEPT
            SELECT id FROM after WHERE state IN ('failed', 'cancelled')
        ) AS one;
        IF again IS NOT NULL THEN
            PERFORM hostler.dependencies_retried(again);
        END IF;
    END IF;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.unblock(ready uuid[])
 RETURNS void
 LANGUAGE sql
AS $function$
    UPDATE hostler.tasks
    SET state = CASE WHEN run_at > now() THEN 'scheduled' ELSE 'pending' END::hostler.task_state,
        run_at = greatest(run_at, now()), version = version + 1
    WHERE id = ANY (ready) AND state IS NOT DISTINCT FROM 'blocked'
$function$;

CREATE OR REPLACE FUNCTION hostler.waits_for(wanted uuid, most integer)
 RETURNS uuid[]
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
    SELECT ARRAY(
        SELECT depends_on
        FROM hostler.dependencies
        WHERE task_id = wanted AND NOT waived AND NOT hostler.dependency_is_done(
            (SELECT policy FROM hostler.dependents WHERE task_id = wanted),
            (SELECT state FROM hostler.tasks WHERE tasks.id = dependencies.depends_on)
        )
        ORDER BY place
        LIMIT most
    )
$function$;

CREATE OR REPLACE FUNCTION hostler.wire_dependents(made uuid[])
 RETURNS TABLE(wired_task uuid, wired_state task_state, missing uuid)
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    bad uuid[];
    doomed uuid[];
BEGIN
    PERFORM hostler.lock_dependencies(
        ARRAY(SELECT DISTINCT depends_on FROM hostler.dependencies WHERE task_id = ANY (made))
    );
    RETURN QUERY
        SELECT dependencies.task_id, NULL::hostler.task_state, dependencies.depends_on
        FROM hostler.dependencies
        WHERE dependencies.task_id = ANY (made)
            AND (SELECT state FROM hostler.tasks WHERE tasks.id = dependencies.depends_on) IS NULL;
    IF FOUND THEN
        RETURN;
    END IF;
    PERFORM hostler.count_open(made);
    bad := ARRAY(
        SELECT DISTINCT dependencies.depends_on
        FROM hostler.dependencies
        WHERE dependencies.task_id = ANY (made)
            AND (SELECT state FROM hostler.tasks WHERE tasks.id = dependencies.depends_on)
                IN ('failed', 'cancelled')
    );
    IF bad <> '{}' THEN
        -- Only new ones: others that depend on these had their turn when they ended.
        doomed := ARRAY(
            SELECT dependents.task_id
            FROM hostler.dependents
            WHERE dependents.task_id = ANY (made) AND dependents.policy = 'cancel' AND EXISTS (
                SELECT FROM hostler.dependencies
                WHERE dependencies.task_id = dependents.task_id
                    AND (SELECT state FROM hostler.tasks WHERE tasks.id = dependencies.depends_on)
                        IN ('failed', 'cancelled')
            )
        );
        doomed := ARRAY(
            SELECT unnest(doomed) UNION SELECT unnest(hostler.doomed_by(doomed))
        );
        PERFORM hostler.cancel_dependents(doomed, bad);
    END IF;
    PERFORM hostler.unblock(
        ARRAY(SELECT task_id FROM hostler.dependents WHERE task_id = ANY (made) AND open = 0)
    );
    RETURN QUERY
        SELECT tasks.id, tasks.state, NULL::uuid
        FROM hostler.tasks
        WHERE tasks.state IS DISTINCT FROM 'blocked' AND tasks.id = ANY (
            made || doomed
            || ARRAY(SELECT task_id FROM hostler.dependencies WHERE depends_on = ANY (doomed))
        );
END
$function$;

CREATE TRIGGER tasks_begin BEFORE INSERT ON tasks FOR EACH ROW WHEN ((new.state <> ALL (ARRAY['blocked'::task_state, 'scheduled'::task_state, 'pending'::task_state])) OR new.version <> 1 OR new.attempt <> 0) EXECUTE FUNCTION refuse_task_step();

CREATE TRIGGER tasks_end BEFORE DELETE ON tasks FOR EACH ROW WHEN (old.state <> ALL (ARRAY['completed'::task_state, 'failed'::task_state, 'cancelled'::task_state])) EXECUTE FUNCTION refuse_task_step();

CREATE TRIGGER tasks_forget AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_tasks();

CREATE TRIGGER tasks_forget_dependencies AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_dependencies();

CREATE TRIGGER tasks_record_new AFTER INSERT ON tasks REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION record_new_tasks();

CREATE TRIGGER tasks_record_steps AFTER UPDATE ON tasks REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION record_task_steps();

CREATE TRIGGER tasks_retry_waits BEFORE UPDATE ON tasks FOR EACH ROW WHEN ((old.state = ANY (ARRAY['failed'::task_state, 'cancelled'::task_state])) AND new.state = 'pending'::task_state) EXECUTE FUNCTION retry_waits();

CREATE TRIGGER tasks_step BEFORE UPDATE ON tasks FOR EACH ROW WHEN (new.id <> old.id OR new.version <> (old.version + (new.state <> old.state)::integer) OR new.attempt <> (old.attempt + (old.state = 'pending'::task_state AND new.state = 'running'::task_state)::integer) OR new.state <> old.state AND NOT
        CASE old.state
            WHEN 'blocked'::task_state THEN new.state = ANY (ARRAY['pending'::task_state, 'scheduled'::task_state, 'cancelled'::task_state])
            WHEN 'scheduled'::task_state THEN new.state = ANY (ARRAY['pending'::task_state, 'cancelled'::task_state])
            WHEN 'pending'::task_state THEN new.state = ANY (ARRAY['running'::task_state, 'cancelled'::task_state])
            WHEN 'running'::task_state THEN new.state = ANY (ARRAY['awaiting_input'::task_state, 'completed'::task_state, 'scheduled'::task_state, 'failed'::task_state, 'pending'::task_state, 'cancelled'::task_state])
            WHEN 'awaiting_input'::task_state THEN new.state = ANY (ARRAY['running'::task_state, 'scheduled'::task_state, 'failed'::task_state, 'pending'::task_state, 'cancelled'::task_state])
            WHEN 'failed'::task_state THEN new.state = ANY (ARRAY['pending'::task_state, 'blocked'::task_state])
            WHEN 'cancelled'::task_state THEN new.state = ANY (ARRAY['pending'::task_state, 'blocked'::task_state])
            ELSE false
        END) EXECUTE FUNCTION refuse_task_step();

CREATE TRIGGER tasks_tell_dependents AFTER UPDATE ON tasks REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION tell_dependents();
