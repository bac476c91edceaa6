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

CREATE TYPE hostler.limit_scope AS ENUM (
    'all',
    'fleet',
    'key'
);

CREATE TYPE hostler.need_kind AS ENUM (
    'exclusive',
    'shared',
    'write',
    'read',
    'key'
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

CREATE TABLE hostler.key_pauses (
    pattern text NOT NULL,
    reason text,
    since timestamp with time zone NOT NULL DEFAULT now(),
    until timestamp with time zone,
    CONSTRAINT key_pauses_pkey PRIMARY KEY (pattern),
    CONSTRAINT pattern_is_short CHECK (((length(pattern) >= 1) AND (length(pattern) <= 255)))
);

CREATE TABLE hostler.leader (
    one boolean NOT NULL DEFAULT true,
    term bigint NOT NULL,
    slot uuid NOT NULL,
    since timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT leader_pkey PRIMARY KEY (one),
    CONSTRAINT there_is_one_leader CHECK (one)
);

CREATE TABLE hostler.limits (
    scope limit_scope NOT NULL,
    name text NOT NULL,
    concurrency integer,
    rate_count integer,
    rate_per_ms bigint,
    configured jsonb,
    limited boolean NOT NULL DEFAULT ((concurrency IS NOT NULL) OR (rate_count IS NOT NULL)),
    CONSTRAINT all_has_no_name CHECK (((scope = 'all'::limit_scope) = (name = ''::text))),
    CONSTRAINT limits_make_sense CHECK (((concurrency >= 0) AND (rate_count >= 1) AND (rate_per_ms >= 1))),
    CONSTRAINT limits_pkey PRIMARY KEY (scope, name),
    CONSTRAINT rate_is_whole CHECK (((rate_count IS NULL) = (rate_per_ms IS NULL)))
);

CREATE TABLE hostler.queues (
    name text NOT NULL,
    description text NOT NULL DEFAULT ''::text,
    paused boolean NOT NULL DEFAULT false,
    paused_reason text,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    paused_until timestamp with time zone,
    concurrency integer,
    rate_count integer,
    rate_per_ms bigint,
    key_concurrency integer,
    key_rate_count integer,
    key_rate_per_ms bigint,
    weight integer NOT NULL DEFAULT 1,
    fair boolean NOT NULL DEFAULT false,
    configured jsonb,
    limited boolean NOT NULL DEFAULT ((concurrency IS NOT NULL) OR (rate_count IS NOT NULL) OR (weight <> 1) OR fair),
    CONSTRAINT limits_make_sense CHECK (((concurrency >= 0) AND (rate_count >= 1) AND (rate_per_ms >= 1) AND (key_concurrency >= 0) AND (key_rate_count >= 1) AND (key_rate_per_ms >= 1) AND ((weight >= 1) AND (weight <= 1000)))),
    CONSTRAINT name_is_plain CHECK ((name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'::text)),
    CONSTRAINT queues_pkey PRIMARY KEY (name),
    CONSTRAINT rates_are_whole CHECK ((((rate_count IS NULL) = (rate_per_ms IS NULL)) AND ((key_rate_count IS NULL) = (key_rate_per_ms IS NULL)))),
    CONSTRAINT reason_only_while_paused CHECK ((paused OR (paused_reason IS NULL))),
    CONSTRAINT until_only_while_paused CHECK ((paused OR (paused_until IS NULL)))
);

CREATE TABLE hostler.rate_starts (
    scope text NOT NULL,
    at timestamp with time zone NOT NULL,
    count integer NOT NULL,
    CONSTRAINT rate_starts_pkey PRIMARY KEY (scope, at)
) WITH (autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_threshold=500);

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

CREATE TABLE hostler.task_holds (
    task_id uuid NOT NULL,
    kind need_kind NOT NULL,
    name text NOT NULL,
    queue text NOT NULL,
    since timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT task_holds_pkey PRIMARY KEY (task_id, kind, name)
) WITH (autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_threshold=500);

CREATE TABLE hostler.task_inputs (
    task_id uuid NOT NULL,
    input jsonb NOT NULL,
    CONSTRAINT task_inputs_pkey PRIMARY KEY (task_id)
);

CREATE TABLE hostler.task_needs (
    task_id uuid NOT NULL,
    kind need_kind NOT NULL,
    name text NOT NULL,
    CONSTRAINT task_needs_pkey PRIMARY KEY (task_id, kind, name)
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

CREATE TABLE hostler.task_waits (
    task_id uuid NOT NULL,
    since timestamp with time zone NOT NULL DEFAULT now(),
    until timestamp with time zone NOT NULL,
    CONSTRAINT task_waits_pkey PRIMARY KEY (task_id)
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
    retry jsonb,
    lane bigint,
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

CREATE UNIQUE INDEX task_holds_exclusive ON hostler.task_holds USING btree (name) WHERE (kind = 'exclusive'::need_kind);

CREATE INDEX task_unique_by_task ON hostler.task_unique USING btree (task_id);

CREATE INDEX task_waits_since ON hostler.task_waits USING btree (since, task_id);

CREATE INDEX tasks_held ON hostler.tasks USING btree (host_id, id) WHERE (state = ANY (ARRAY['running'::task_state, 'awaiting_input'::task_state]));

CREATE UNIQUE INDEX tasks_idempotency_key ON hostler.tasks USING btree (idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX tasks_lanes ON hostler.tasks USING btree (queue, lane, priority DESC, id) WHERE ((state = 'pending'::task_state) AND (lane IS NOT NULL));

CREATE INDEX tasks_listed ON hostler.tasks USING btree (queue, state, id);

CREATE INDEX tasks_needing ON hostler.tasks USING btree (queue, priority DESC, id) INCLUDE (run_at) WHERE ((state = 'pending'::task_state) AND (lane IS NOT NULL));

CREATE INDEX tasks_pending ON hostler.tasks USING btree (queue, priority DESC, id) INCLUDE (run_at) WHERE ((state = 'pending'::task_state) AND (lane IS NULL));

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
    DELETE FROM hostler.task_needs WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.free_holds()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    DELETE FROM hostler.task_holds WHERE task_id = OLD.id;
    RETURN NULL;
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

CREATE OR REPLACE FUNCTION hostler.stop_waiting()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    DELETE FROM hostler.task_waits WHERE task_id = OLD.id;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.take_holds()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO hostler.task_holds (task_id, kind, name, queue, since)
    SELECT task_id, kind, name, NEW.queue, NEW.started_at
    FROM hostler.task_needs
    WHERE task_id = NEW.id;
    RETURN NULL;
END
$function$;

CREATE TRIGGER tasks_begin BEFORE INSERT ON tasks FOR EACH ROW WHEN ((new.state <> ALL (ARRAY['blocked'::task_state, 'scheduled'::task_state, 'pending'::task_state])) OR new.version <> 1 OR new.attempt <> 0) EXECUTE FUNCTION refuse_task_step();

CREATE TRIGGER tasks_end BEFORE DELETE ON tasks FOR EACH ROW WHEN (old.state <> ALL (ARRAY['completed'::task_state, 'failed'::task_state, 'cancelled'::task_state])) EXECUTE FUNCTION refuse_task_step();

CREATE TRIGGER tasks_forget AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_tasks();

CREATE TRIGGER tasks_forget_keys AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_keys();

CREATE TRIGGER tasks_free_holds AFTER UPDATE ON tasks FOR EACH ROW WHEN (old.lane IS NOT NULL AND old.host_id IS NOT NULL AND new.host_id IS NULL) EXECUTE FUNCTION free_holds();

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

CREATE TRIGGER tasks_stop_waiting AFTER UPDATE ON tasks FOR EACH ROW WHEN (old.lane IS NOT NULL AND old.state = 'pending'::task_state AND new.state <> 'pending'::task_state) EXECUTE FUNCTION stop_waiting();

CREATE TRIGGER tasks_take_holds AFTER UPDATE ON tasks FOR EACH ROW WHEN (new.lane IS NOT NULL AND old.host_id IS NULL AND new.host_id IS NOT NULL) EXECUTE FUNCTION take_holds();
