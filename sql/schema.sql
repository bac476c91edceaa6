-- The schema after all migrations, written by a test: do not edit.

CREATE TYPE hostler.attempt_outcome AS ENUM (
    'completed',
    'failed',
    'released',
    'cancelled'
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

CREATE TABLE hostler.log_claims (
    id uuid NOT NULL,
    host_id uuid NOT NULL,
    lane integer NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    claimed_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT log_claims_are_ranges CHECK ((first <= last)),
    CONSTRAINT log_claims_pkey PRIMARY KEY (id)
);

CREATE TABLE hostler.log_cursors (
    lane integer NOT NULL,
    queue text NOT NULL,
    taken bigint NOT NULL DEFAULT 0,
    CONSTRAINT log_cursors_pkey PRIMARY KEY (lane)
) WITH (fillfactor=10);

CREATE TABLE hostler.log_ends (
    lane integer NOT NULL,
    number bigint NOT NULL,
    moved boolean NOT NULL DEFAULT false,
    host_id uuid,
    agent text,
    started_at timestamp with time zone,
    ended_at timestamp with time zone NOT NULL DEFAULT now(),
    output jsonb,
    CONSTRAINT completed_by_somebody CHECK ((num_nonnulls(host_id, agent, started_at, output) =
CASE
    WHEN moved THEN 0
    ELSE 4
END)),
    CONSTRAINT log_ends_pkey PRIMARY KEY (lane, number)
);

CREATE TABLE hostler.log_lanes (
    id integer NOT NULL,
    slot uuid NOT NULL,
    queue text NOT NULL,
    head bigint NOT NULL DEFAULT 0,
    CONSTRAINT log_lanes_one_per_slot UNIQUE (slot, queue),
    CONSTRAINT log_lanes_pkey PRIMARY KEY (id)
) WITH (fillfactor=10);

CREATE TABLE hostler.log_tasks (
    lane integer NOT NULL,
    number bigint NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    input jsonb NOT NULL,
    max_attempts integer NOT NULL,
    timeout_ms bigint,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT log_counts_make_sense CHECK (((max_attempts >= 1) AND (timeout_ms > 0))),
    CONSTRAINT log_tasks_id UNIQUE (id),
    CONSTRAINT log_tasks_pkey PRIMARY KEY (lane, number),
    CONSTRAINT log_texts_are_short CHECK ((length(kind) <= 255))
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

CREATE TABLE hostler.task_results (
    task_id uuid NOT NULL,
    output jsonb NOT NULL,
    CONSTRAINT task_results_pkey PRIMARY KEY (task_id)
);

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

CREATE INDEX log_claims_by_host ON hostler.log_claims USING btree (host_id);

CREATE INDEX log_claims_by_lane ON hostler.log_claims USING btree (lane, last);

CREATE INDEX task_unique_by_task ON hostler.task_unique USING btree (task_id);

CREATE INDEX tasks_held ON hostler.tasks USING btree (host_id, id) WHERE (state = ANY (ARRAY['running'::task_state, 'awaiting_input'::task_state]));

CREATE UNIQUE INDEX tasks_idempotency_key ON hostler.tasks USING btree (idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX tasks_listed ON hostler.tasks USING btree (queue, state, id);

CREATE INDEX tasks_pending ON hostler.tasks USING btree (queue, priority DESC, id) INCLUDE (run_at) WHERE (state = 'pending'::task_state);

CREATE INDEX tasks_scheduled ON hostler.tasks USING btree (run_at) WHERE (state = 'scheduled'::task_state);

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

CREATE OR REPLACE FUNCTION hostler.put_back(lost_hosts uuid[], why text, keep uuid[] DEFAULT '{}'::uuid[])
 RETURNS TABLE(put_back_task uuid, put_back_queue text, put_back_attempt integer, put_back_state task_state)
 LANGUAGE sql
AS $function$
    SELECT hostler.track_claimed(lost_hosts, keep);

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
    INSERT INTO hostler.task_events (task_id, number, state, attempt, at)
    SELECT id, version, state, attempt, created_at FROM made;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.record_task_steps()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_nestloop TO 'off'
AS $function$
BEGIN
    INSERT INTO hostler.task_events (task_id, number, state, attempt, at)
    SELECT after.id, after.version, after.state, after.attempt,
        CASE WHEN before.state = 'pending' THEN coalesce(after.started_at, now()) ELSE now() END
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

CREATE OR REPLACE FUNCTION hostler.track(ids uuid[], agents text[] DEFAULT NULL::text[])
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    gone uuid[];
BEGIN
    -- No claim of these lanes is under way from here on.
    PERFORM FROM hostler.log_cursors
    WHERE lane = ANY (ARRAY(SELECT entry.lane FROM hostler.log_tasks AS entry WHERE entry.id = ANY (ids)))
    ORDER BY lane
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;

    WITH moved AS (
        INSERT INTO hostler.log_ends (lane, number, moved)
        SELECT entry.lane, entry.number, true
        FROM hostler.log_tasks AS entry
        WHERE entry.id = ANY (ids)
        ORDER BY entry.lane, entry.number
        ON CONFLICT DO NOTHING
        RETURNING lane, number
    ), made AS (
        INSERT INTO hostler.tasks (
            id, queue, kind, state, max_attempts, timeout_ms, created_at, run_at
        )
        SELECT entry.id, lane.queue, entry.kind, 'pending', entry.max_attempts, entry.timeout_ms,
            entry.created_at, entry.created_at
        FROM moved
        JOIN hostler.log_tasks AS entry ON entry.lane = moved.lane AND entry.number = moved.number
        JOIN hostler.log_lanes AS lane ON lane.id = entry.lane
        ORDER BY entry.id
        RETURNING id
    ), inputs AS (
        INSERT INTO hostler.task_inputs (task_id, input)
        SELECT entry.id, entry.input
        FROM moved
        JOIN hostler.log_tasks AS entry ON entry.lane = moved.lane AND entry.number = moved.number
    )
    SELECT coalesce(array_agg(id), '{}') INTO gone FROM made;

    UPDATE hostler.tasks
    SET state = 'running', version = tasks.version + 1, attempt = 1, host_id = claim.host_id,
        agent = coalesce(agents[array_position(ids, tasks.id)], 'unknown'),
        started_at = claim.claimed_at
    FROM hostler.log_tasks AS entry
    JOIN hostler.log_claims AS claim
        ON claim.lane = entry.lane AND entry.number BETWEEN claim.first AND claim.last
    WHERE tasks.id = ANY (gone) AND entry.id = tasks.id;
    RETURN cardinality(gone);
END
$function$;

CREATE OR REPLACE FUNCTION hostler.track_claimed(lost_hosts uuid[], keep uuid[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM hostler.track(ARRAY(
        SELECT entry.id
        FROM hostler.log_claims AS claim
        JOIN hostler.log_tasks AS entry
            ON entry.lane = claim.lane AND entry.number BETWEEN claim.first AND claim.last
        WHERE claim.host_id = ANY (lost_hosts) AND entry.id <> ALL (keep)
            AND NOT EXISTS (
                SELECT FROM hostler.log_ends AS ended
                WHERE ended.lane = entry.lane AND ended.number = entry.number
            )
    ));
    DELETE FROM hostler.log_claims WHERE host_id = ANY (lost_hosts) AND keep = '{}';
END
$function$;

CREATE TRIGGER tasks_begin BEFORE INSERT ON tasks FOR EACH ROW WHEN ((new.state <> ALL (ARRAY['blocked'::task_state, 'scheduled'::task_state, 'pending'::task_state])) OR new.version <> 1 OR new.attempt <> 0) EXECUTE FUNCTION refuse_task_step();

CREATE TRIGGER tasks_end BEFORE DELETE ON tasks FOR EACH ROW WHEN (old.state <> ALL (ARRAY['completed'::task_state, 'failed'::task_state, 'cancelled'::task_state])) EXECUTE FUNCTION refuse_task_step();

CREATE TRIGGER tasks_forget AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_tasks();

CREATE TRIGGER tasks_forget_keys AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_keys();

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
