-- The schema after all migrations, written by a test: do not edit.

CREATE TYPE hostler.attempt_outcome AS ENUM (
    'completed',
    'failed',
    'released',
    'cancelled'
);

CREATE TYPE hostler.batch_end AS ENUM (
    'complete',
    'success',
    'failure'
);

CREATE TYPE hostler.failure_class AS ENUM (
    'exit',
    'task',
    'timeout',
    'stale',
    'spawn',
    'protocol',
    'host_lost',
    'internal'
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

CREATE TABLE hostler.batch_callbacks (
    batch_id uuid NOT NULL,
    on_end batch_end NOT NULL,
    queue text NOT NULL,
    kind text NOT NULL,
    input jsonb NOT NULL,
    priority smallint NOT NULL,
    max_attempts integer NOT NULL,
    timeout_ms bigint,
    task_id uuid,
    CONSTRAINT batch_callbacks_pkey PRIMARY KEY (batch_id, on_end),
    CONSTRAINT callback_makes_sense CHECK (((max_attempts >= 1) AND (timeout_ms > 0) AND (length(kind) <= 255) AND (jsonb_typeof(input) = 'object'::text)))
);

CREATE TABLE hostler.batches (
    id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    closed_at timestamp with time zone,
    cancelled_at timestamp with time zone,
    done_at timestamp with time zone,
    total integer NOT NULL DEFAULT 0,
    completed integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    cancelled integer NOT NULL DEFAULT 0,
    idempotency_key text,
    CONSTRAINT batch_counts_make_sense CHECK (((LEAST(completed, failed, cancelled) >= 0) AND (((completed + failed) + cancelled) <= total))),
    CONSTRAINT batch_is_closed_first CHECK (((closed_at IS NOT NULL) OR (num_nonnulls(cancelled_at, done_at) = 0))),
    CONSTRAINT batch_key_is_short CHECK (((length(idempotency_key) >= 1) AND (length(idempotency_key) <= 255))),
    CONSTRAINT batches_pkey PRIMARY KEY (id)
) WITH (fillfactor=50);

CREATE TABLE hostler.dead_letters (
    task_id uuid NOT NULL,
    redrives integer NOT NULL DEFAULT 0,
    redriven_at timestamp with time zone,
    discarded_at timestamp with time zone,
    discard_reason text,
    CONSTRAINT dead_letters_pkey PRIMARY KEY (task_id),
    CONSTRAINT discarded_with_a_reason CHECK ((((discarded_at IS NULL) = (discard_reason IS NULL)) AND (length(discard_reason) <= 1000))),
    CONSTRAINT redrives_are_dated CHECK (((redrives >= 0) AND ((redrives > 0) = (redriven_at IS NOT NULL))))
);

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

CREATE TABLE hostler.leader (
    one boolean NOT NULL DEFAULT true,
    term bigint NOT NULL,
    slot uuid NOT NULL,
    since timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT leader_pkey PRIMARY KEY (one),
    CONSTRAINT there_is_one_leader CHECK (one)
);

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

CREATE TABLE hostler.task_members (
    task_id uuid NOT NULL,
    group_name text,
    batch_id uuid,
    CONSTRAINT group_name_is_plain CHECK ((group_name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'::text)),
    CONSTRAINT member_of_something CHECK ((num_nonnulls(group_name, batch_id) > 0)),
    CONSTRAINT task_members_pkey PRIMARY KEY (task_id)
);

CREATE TABLE hostler.task_results (
    task_id uuid NOT NULL,
    output jsonb NOT NULL,
    CONSTRAINT task_results_pkey PRIMARY KEY (task_id)
);

CREATE TABLE hostler.task_tally (
    id bigint NOT NULL,
    scope text NOT NULL,
    state task_state NOT NULL,
    tasks bigint NOT NULL,
    first_at timestamp with time zone,
    last_at timestamp with time zone,
    CONSTRAINT task_tally_pkey PRIMARY KEY (id)
) WITH (fillfactor=50);

CREATE TABLE hostler.task_unique (
    queue text NOT NULL,
    key text NOT NULL,
    task_id uuid NOT NULL,
    CONSTRAINT task_unique_pkey PRIMARY KEY (queue, key),
    CONSTRAINT unique_key_is_short CHECK (((length(key) >= 1) AND (length(key) <= 255)))
) WITH (fillfactor=70);

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
    retry jsonb,
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

CREATE UNIQUE INDEX batches_idempotency_key ON hostler.batches USING btree (idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX task_members_by_batch ON hostler.task_members USING btree (batch_id, task_id) WHERE (batch_id IS NOT NULL);

CREATE INDEX task_members_by_group ON hostler.task_members USING btree (group_name, task_id) WHERE (group_name IS NOT NULL);

CREATE INDEX task_tally_by_scope ON hostler.task_tally USING btree (scope, state);

CREATE INDEX task_unique_by_task ON hostler.task_unique USING btree (task_id);

CREATE INDEX tasks_held ON hostler.tasks USING btree (host_id, id) WHERE (state = ANY (ARRAY['running'::task_state, 'awaiting_input'::task_state]));

CREATE UNIQUE INDEX tasks_idempotency_key ON hostler.tasks USING btree (idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX tasks_listed ON hostler.tasks USING btree (queue, state, id);

CREATE INDEX tasks_pending ON hostler.tasks USING btree (queue, priority DESC, id) INCLUDE (run_at) WHERE (state = 'pending'::task_state);

CREATE INDEX tasks_scheduled ON hostler.tasks USING btree (run_at) WHERE (state = 'scheduled'::task_state);

CREATE OR REPLACE FUNCTION hostler.add_to_tally(of_scope text, of_state task_state, change bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    entered CONSTANT timestamptz := CASE WHEN change > 0 THEN now() END;
    free bigint;
BEGIN
    SELECT id INTO free
    FROM hostler.task_tally
    WHERE scope = of_scope AND state = of_state
    LIMIT 1
    FOR UPDATE SKIP LOCKED;
    IF free IS NULL THEN
        INSERT INTO hostler.task_tally (scope, state, tasks, first_at, last_at)
        VALUES (of_scope, of_state, change, entered, entered);
    ELSE
        UPDATE hostler.task_tally
        SET tasks = tasks + change, first_at = least(first_at, entered),
            last_at = greatest(last_at, entered)
        WHERE id = free;
    END IF;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.batch_summary(done batches)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
    WITH members AS MATERIALIZED (
        SELECT task_id AS id,
            (SELECT state FROM hostler.tasks WHERE tasks.id = task_members.task_id) AS state
        FROM hostler.task_members
        WHERE batch_id = done.id
        ORDER BY task_id
        LIMIT 10000
    )
    SELECT jsonb_build_object(
        'id', 'bat_' || replace(done.id::text, '-', ''),
        'total', done.total, 'completed', done.completed, 'failed', done.failed,
        'cancelled', done.cancelled, 'created_at', done.created_at,
        'cancelled_at', done.cancelled_at, 'done_at', done.done_at,
        'tasks', jsonb_build_object(
            'completed', hostler.shown_ids(ARRAY(SELECT id FROM members WHERE state = 'completed')),
            'failed', hostler.shown_ids(ARRAY(SELECT id FROM members WHERE state = 'failed')),
            'cancelled', hostler.shown_ids(ARRAY(SELECT id FROM members WHERE state = 'cancelled')),
            'truncated', done.total > 10000
        )
    )
$function$;

CREATE OR REPLACE FUNCTION hostler.call_back()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    callback hostler.batch_callbacks;
    made uuid;
BEGIN
    FOR callback IN
        SELECT * FROM hostler.batch_callbacks
        WHERE batch_id = NEW.id AND task_id IS NULL AND on_end IN (
            'complete',
            CASE WHEN NEW.completed = NEW.total THEN 'success' ELSE 'failure' END
                ::hostler.batch_end
        )
        ORDER BY on_end
    LOOP
        made := hostler.new_task_id();
        INSERT INTO hostler.tasks (id, queue, kind, state, priority, max_attempts, timeout_ms)
        VALUES (made, callback.queue, callback.kind, 'pending', callback.priority,
            callback.max_attempts, callback.timeout_ms);
        INSERT INTO hostler.task_inputs (task_id, input)
        VALUES (made, callback.input || jsonb_build_object('batch', hostler.batch_summary(NEW)));
        UPDATE hostler.batch_callbacks SET task_id = made
        WHERE batch_id = callback.batch_id AND on_end = callback.on_end;
        PERFORM pg_notify('hostler_wake', callback.queue);
    END LOOP;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.close_done_batch()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF OLD.closed_at IS NOT NULL AND NEW.total > OLD.total THEN
        RAISE EXCEPTION 'batch % is closed: no tasks can be added to it', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'batch_is_open',
                SCHEMA = 'hostler', TABLE = 'batches';
    END IF;
    IF NEW.done_at IS NULL AND NEW.closed_at IS NOT NULL
        AND NEW.completed + NEW.failed + NEW.cancelled = NEW.total
    THEN
        NEW.done_at := now();
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.count_members(groups text[], of_batches uuid[], old_states task_state[], new_states task_state[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_nestloop TO 'on'
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT scope, state, sum(change) AS change
        FROM unnest(groups, of_batches, old_states, new_states) AS member (grp, batch, was, becomes)
        CROSS JOIN LATERAL (
            VALUES ('group ' || grp, was, -1), ('group ' || grp, becomes, 1),
                ('batch ' || batch, was, -1), ('batch ' || batch, becomes, 1)
        ) AS part (scope, state, change)
        WHERE scope IS NOT NULL AND state IS NOT NULL
        GROUP BY scope, state
        HAVING sum(change) <> 0
        ORDER BY scope, state
    LOOP
        PERFORM hostler.add_to_tally(one.scope, one.state, one.change);
    END LOOP;
    FOR one IN
        SELECT batch, count(*) FILTER (WHERE was IS NULL) AS came,
            count(*) FILTER (WHERE becomes = 'completed')
                - count(*) FILTER (WHERE was = 'completed') AS completed,
            count(*) FILTER (WHERE becomes = 'failed')
                - count(*) FILTER (WHERE was = 'failed') AS failed,
            count(*) FILTER (WHERE becomes = 'cancelled')
                - count(*) FILTER (WHERE was = 'cancelled') AS cancelled
        FROM unnest(of_batches, old_states, new_states) AS member (batch, was, becomes)
        WHERE batch IS NOT NULL AND becomes IS NOT NULL
            AND (
                was IS NULL OR was IN ('completed', 'failed', 'cancelled')
                OR becomes IN ('completed', 'failed', 'cancelled')
            )
        GROUP BY batch
        ORDER BY batch
    LOOP
        UPDATE hostler.batches
        SET total = total + one.came, completed = completed + one.completed,
            failed = failed + one.failed, cancelled = cancelled + one.cancelled
        WHERE id = one.batch;
    END LOOP;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.count_new_members()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    groups text[];
    of_batches uuid[];
    nothing hostler.task_state[];
    states hostler.task_state[];
BEGIN
    SELECT array_agg(group_name), array_agg(batch_id), array_agg(NULL::hostler.task_state),
        array_agg(coalesce(
            (SELECT state FROM hostler.tasks WHERE tasks.id = joined.task_id), 'pending'
        ))
    INTO groups, of_batches, nothing, states
    FROM joined;
    PERFORM hostler.count_members(groups, of_batches, nothing, states);
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.forget_deleted_keys()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    DELETE FROM hostler.task_unique WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.forget_deleted_members()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    ids uuid[];
    states hostler.task_state[];
    groups text[];
    of_batches uuid[];
    olds hostler.task_state[];
    nothing hostler.task_state[];
    one text;
BEGIN
    SELECT array_agg(id ORDER BY id), array_agg(state ORDER BY id) INTO ids, states FROM gone;
    DELETE FROM hostler.dead_letters WHERE task_id = ANY (ids);
    WITH left_behind AS (
        DELETE FROM hostler.task_members WHERE task_id = ANY (ids) RETURNING *
    )
    SELECT array_agg(group_name), array_agg(batch_id),
        array_agg(states[width_bucket(task_id, ids)]), array_agg(NULL::hostler.task_state)
    INTO groups, of_batches, olds, nothing
    FROM left_behind;
    IF groups IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM hostler.count_members(groups, of_batches, olds, nothing);
    -- The lock makes two that delete the last tasks of a batch see each other.
    PERFORM FROM hostler.batches WHERE id = ANY (of_batches) ORDER BY id FOR UPDATE;
    WITH over AS (
        DELETE FROM hostler.batches
        WHERE id = ANY (of_batches) AND done_at IS NOT NULL
            AND NOT EXISTS (
                SELECT FROM hostler.task_members WHERE task_members.batch_id = batches.id
            )
        RETURNING id
    )
    SELECT array_agg(id) INTO of_batches FROM over;
    DELETE FROM hostler.batch_callbacks WHERE batch_id = ANY (of_batches);
    DELETE FROM hostler.task_tally
    WHERE scope = ANY (ARRAY(SELECT 'batch ' || id FROM unnest(of_batches) AS done (id)));
    FOR one IN
        SELECT DISTINCT name FROM unnest(groups) AS given (name)
        WHERE name IS NOT NULL AND NOT EXISTS (
            SELECT FROM hostler.task_members WHERE task_members.group_name = name
        )
    LOOP
        -- Whatever is deleted is kept as its sum, so that the sum is right whoever counts meanwhile.
        WITH free AS MATERIALIZED (
            SELECT id FROM hostler.task_tally WHERE scope = 'group ' || one FOR UPDATE SKIP LOCKED
        ), old AS (
            DELETE FROM hostler.task_tally
            WHERE id = ANY (ARRAY(SELECT free.id FROM free))
            RETURNING state, tasks, first_at, last_at
        )
        INSERT INTO hostler.task_tally (scope, state, tasks, first_at, last_at)
        SELECT 'group ' || one, state, sum(tasks), min(first_at), max(last_at)
        FROM old
        GROUP BY state
        HAVING sum(tasks) <> 0;
    END LOOP;
    RETURN NULL;
END
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

CREATE OR REPLACE FUNCTION hostler.members_moved(moved uuid[], old_states task_state[], new_states task_state[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    groups text[];
    of_batches uuid[];
    olds hostler.task_state[];
    news hostler.task_state[];
BEGIN
    SELECT array_agg(group_name), array_agg(batch_id),
        array_agg(old_states[width_bucket(task_id, moved)]),
        array_agg(new_states[width_bucket(task_id, moved)])
    INTO groups, of_batches, olds, news
    FROM hostler.task_members
    WHERE task_id = ANY (moved);
    IF groups IS NOT NULL THEN
        PERFORM hostler.count_members(groups, of_batches, olds, news);
    END IF;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.new_task_id()
 RETURNS uuid
 LANGUAGE sql
AS $function$
    SELECT (
        lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
        || substr(replace(gen_random_uuid()::text, '-', ''), 14)
    )::uuid
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

CREATE OR REPLACE FUNCTION hostler.record_task_moves()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_nestloop TO 'off'
AS $function$
DECLARE
    moved uuid[];
    olds hostler.task_state[];
    news hostler.task_state[];
BEGIN
    SELECT array_agg(id ORDER BY id), array_agg(before.state ORDER BY id),
        array_agg(after.state ORDER BY id)
    INTO moved, olds, news
    FROM after JOIN before USING (id)
    WHERE after.state <> before.state;
    IF moved IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM hostler.members_moved(moved, olds, news);
    IF 'failed' = ANY (olds) THEN
        INSERT INTO hostler.dead_letters AS letter (task_id, redrives, redriven_at)
        SELECT id, 1, now() FROM unnest(moved, olds) AS redriven (id, was) WHERE was = 'failed'
        ON CONFLICT (task_id) DO UPDATE
        SET redrives = letter.redrives + 1, redriven_at = now(),
            discarded_at = NULL, discard_reason = NULL;
    END IF;
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

CREATE OR REPLACE FUNCTION hostler.shown_ids(ids uuid[])
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT coalesce(jsonb_agg('tsk_' || replace(id::text, '-', '')), '[]') FROM unnest(ids) AS given (id)
$function$;

CREATE TRIGGER batches_call_back AFTER UPDATE ON batches FOR EACH ROW WHEN (old.done_at IS NULL AND new.done_at IS NOT NULL) EXECUTE FUNCTION call_back();

CREATE TRIGGER batches_done BEFORE UPDATE ON batches FOR EACH ROW EXECUTE FUNCTION close_done_batch();

CREATE TRIGGER task_members_count_new AFTER INSERT ON task_members REFERENCING NEW TABLE AS joined FOR EACH STATEMENT EXECUTE FUNCTION count_new_members();

CREATE TRIGGER tasks_begin BEFORE INSERT ON tasks FOR EACH ROW WHEN ((new.state <> ALL (ARRAY['blocked'::task_state, 'scheduled'::task_state, 'pending'::task_state])) OR new.version <> 1 OR new.attempt <> 0) EXECUTE FUNCTION refuse_task_step();

CREATE TRIGGER tasks_end BEFORE DELETE ON tasks FOR EACH ROW WHEN (old.state <> ALL (ARRAY['completed'::task_state, 'failed'::task_state, 'cancelled'::task_state])) EXECUTE FUNCTION refuse_task_step();

CREATE TRIGGER tasks_forget AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_tasks();

CREATE TRIGGER tasks_forget_keys AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_keys();

CREATE TRIGGER tasks_forget_members AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_members();

CREATE TRIGGER tasks_record_moves AFTER UPDATE ON tasks REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION record_task_moves();

CREATE TRIGGER tasks_record_new AFTER INSERT ON tasks REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION record_new_tasks();

CREATE TRIGGER tasks_record_steps AFTER UPDATE ON tasks REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION record_task_steps();

CREATE TRIGGER tasks_step BEFORE UPDATE ON tasks FOR EACH ROW WHEN (new.id <> old.id OR new.version <> (old.version + (new.state <> old.state)::integer) OR new.attempt <> (old.attempt + (old.state = 'pending'::task_state AND new.state = 'running'::task_state)::integer) OR new.state <> old.state AND NOT
        CASE old.state
            WHEN 'blocked'::task_state THEN new.state = ANY (ARRAY['pending'::task_state, 'cancelled'::task_state])
            WHEN 'scheduled'::task_state THEN new.state = ANY (ARRAY['pending'::task_state, 'cancelled'::task_state])
            WHEN 'pending'::task_state THEN new.state = ANY (ARRAY['running'::task_state, 'cancelled'::task_state, 'scheduled'::task_state])
            WHEN 'running'::task_state THEN new.state = ANY (ARRAY['awaiting_input'::task_state, 'completed'::task_state, 'scheduled'::task_state, 'failed'::task_state, 'pending'::task_state, 'cancelled'::task_state])
            WHEN 'awaiting_input'::task_state THEN new.state = ANY (ARRAY['running'::task_state, 'scheduled'::task_state, 'failed'::task_state, 'pending'::task_state, 'cancelled'::task_state])
            WHEN 'failed'::task_state THEN new.state = ANY (ARRAY['pending'::task_state, 'scheduled'::task_state])
            WHEN 'cancelled'::task_state THEN new.state = ANY (ARRAY['pending'::task_state, 'scheduled'::task_state])
            ELSE false
        END) EXECUTE FUNCTION refuse_task_step();
