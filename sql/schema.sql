-- The schema after all migrations, written by a test: do not edit.

CREATE TYPE hostler.attempt_outcome AS ENUM (
    'completed',
    'failed',
    'released',
    'cancelled',
    'snoozed'
);

CREATE TYPE hostler.batch_end AS ENUM (
    'complete',
    'success',
    'failure'
);

CREATE TYPE hostler.delivery_state AS ENUM (
    'pending',
    'delivered',
    'dead'
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
    'input',
    'deadline',
    'memory'
);

CREATE TYPE hostler.firing_outcome AS ENUM (
    'fired',
    'by_hand',
    'skipped',
    'missed',
    'failed'
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

CREATE TYPE hostler.schedule_catch_up AS ENUM (
    'none',
    'last',
    'all'
);

CREATE TYPE hostler.schedule_origin AS ENUM (
    'config',
    'api'
);

CREATE TYPE hostler.schedule_overlap AS ENUM (
    'skip',
    'queue',
    'replace'
);

CREATE TYPE hostler.session_state AS ENUM (
    'active',
    'paused',
    'completed'
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

CREATE TABLE hostler.api_keys (
    id text NOT NULL,
    name text NOT NULL,
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    fleets text[] NOT NULL DEFAULT '{}'::text[],
    queues text[] NOT NULL DEFAULT '{}'::text[],
    rate_count integer,
    rate_per_ms bigint,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone,
    CONSTRAINT api_keys_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT api_keys_id_check CHECK ((id ~ '^[0-9a-f]{12}$'::text)),
    CONSTRAINT api_keys_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 255))),
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_rate CHECK (((rate_count IS NULL) = (rate_per_ms IS NULL))),
    CONSTRAINT api_keys_rate_count_check CHECK ((rate_count > 0)),
    CONSTRAINT api_keys_rate_per_ms_check CHECK ((rate_per_ms > 0)),
    CONSTRAINT api_keys_scopes_check CHECK (((scopes <> '{}'::text[]) AND (scopes <@ ARRAY['read'::text, 'submit'::text, 'control'::text, 'admin'::text])))
);

CREATE TABLE hostler.artifacts (
    id bigint NOT NULL DEFAULT nextval('session_items'::regclass),
    session_no bigint NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    title text NOT NULL,
    format text NOT NULL,
    size bigint NOT NULL,
    task text,
    metadata jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    changed_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT artifact_name_is_short CHECK (((length(name) >= 1) AND (length(name) <= 255))),
    CONSTRAINT artifacts_pkey PRIMARY KEY (id)
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

CREATE TABLE hostler.audit (
    number bigint NOT NULL,
    id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    host text NOT NULL,
    who text NOT NULL,
    peer text,
    surface text NOT NULL,
    operation text NOT NULL,
    object text NOT NULL,
    outcome text NOT NULL,
    status integer,
    count integer NOT NULL,
    request text,
    CONSTRAINT audit_count_check CHECK ((count >= 1)),
    CONSTRAINT audit_once UNIQUE (id),
    CONSTRAINT audit_outcome_check CHECK ((outcome = ANY (ARRAY['done'::text, 'refused'::text, 'failed'::text]))),
    CONSTRAINT audit_pkey PRIMARY KEY (number),
    CONSTRAINT audit_surface_check CHECK ((surface = ANY (ARRAY['http'::text, 'webhook'::text, 'mcp'::text, 'signal'::text, 'host'::text, 'cli'::text]))),
    CONSTRAINT what_was_done_is_told_one_by_one CHECK (((count = 1) OR (outcome <> 'done'::text)))
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
    stale_after_ms bigint,
    CONSTRAINT batch_callbacks_pkey PRIMARY KEY (batch_id, on_end),
    CONSTRAINT callback_makes_sense CHECK (((max_attempts >= 1) AND (timeout_ms > 0) AND (length(kind) <= 255) AND (jsonb_typeof(input) = 'object'::text))),
    CONSTRAINT callback_stale_after_makes_sense CHECK ((stale_after_ms > 0))
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

CREATE TABLE hostler.dead_letter_notes (
    task_id uuid NOT NULL,
    redrives integer NOT NULL DEFAULT 0,
    redriven_at timestamp with time zone,
    discarded_at timestamp with time zone,
    discard_reason text,
    CONSTRAINT dead_letter_notes_pkey PRIMARY KEY (task_id),
    CONSTRAINT discarded_with_a_reason CHECK ((((discarded_at IS NULL) = (discard_reason IS NULL)) AND (length(discard_reason) <= 1000))),
    CONSTRAINT redrives_are_dated CHECK (((redrives >= 0) AND ((redrives > 0) = (redriven_at IS NOT NULL))))
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

CREATE TABLE hostler.feed_horizon (
    one boolean NOT NULL DEFAULT true,
    gone xid8 NOT NULL DEFAULT '0'::xid8,
    CONSTRAINT feed_horizon_pkey PRIMARY KEY (one),
    CONSTRAINT there_is_one_horizon CHECK (one)
);

CREATE TABLE hostler.host_events (
    position bigint NOT NULL DEFAULT nextval('feed_position'::regclass),
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamp with time zone NOT NULL,
    host_id uuid NOT NULL,
    type text NOT NULL,
    fleet text,
    agent text,
    reason text,
    detail jsonb NOT NULL DEFAULT 'null'::jsonb,
    CONSTRAINT host_events_have_a_type CHECK ((type ~ '^(host|fleet|agent)[.][a-z]+$'::text))
);

CREATE TABLE hostler.hosts (
    id uuid NOT NULL,
    slot uuid NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    started_at timestamp with time zone NOT NULL DEFAULT now(),
    lease_ends_at timestamp with time zone NOT NULL,
    kind text NOT NULL DEFAULT 'host'::text,
    agent text,
    CONSTRAINT hosts_agent_iff_external CHECK (((kind = 'external'::text) = (agent IS NOT NULL))),
    CONSTRAINT hosts_kind CHECK ((kind = ANY (ARRAY['host'::text, 'external'::text]))),
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

CREATE TABLE hostler.log_claims (
    id uuid NOT NULL,
    host_id uuid NOT NULL,
    lane integer NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    claimed_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT log_claims_pkey PRIMARY KEY (id)
);

CREATE TABLE hostler.log_cursors (
    lane integer NOT NULL,
    queue text NOT NULL,
    taken bigint NOT NULL DEFAULT 0,
    moves bigint NOT NULL DEFAULT 0
);

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

CREATE TABLE hostler.log_feed (
    position bigint NOT NULL DEFAULT nextval('feed_position'::regclass),
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamp with time zone NOT NULL DEFAULT now(),
    step smallint NOT NULL,
    lane integer NOT NULL,
    first bigint,
    last bigint,
    passed_over bigint[] NOT NULL DEFAULT '{}'::bigint[],
    numbers bigint[]
);

CREATE TABLE hostler.log_lanes (
    id integer NOT NULL,
    slot uuid NOT NULL,
    queue text NOT NULL,
    CONSTRAINT log_lanes_one_per_slot UNIQUE (slot, queue),
    CONSTRAINT log_lanes_pkey PRIMARY KEY (id)
);

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

CREATE TABLE hostler.memories (
    id bigint NOT NULL DEFAULT nextval('session_items'::regclass),
    session_no bigint NOT NULL,
    key text NOT NULL,
    type text NOT NULL,
    content jsonb NOT NULL,
    tags text[] NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    changed_at timestamp with time zone NOT NULL DEFAULT now(),
    search tsvector DEFAULT ((setweight(to_tsvector('english'::regconfig, key), 'A'::"char") || jsonb_to_tsvector('english'::regconfig, content, '["string", "numeric", "boolean"]'::jsonb)) || array_to_tsvector((tags || ARRAY[(''::text || (session_no)::text), (''::text || type)]))),
    CONSTRAINT memories_pkey PRIMARY KEY (id),
    CONSTRAINT memory_key_is_short CHECK (((length(key) >= 1) AND (length(key) <= 255))),
    CONSTRAINT memory_type_is_known CHECK ((type = ANY (ARRAY['idea'::text, 'decision'::text, 'question'::text, 'action_item'::text, 'context'::text, 'preference'::text, 'fact'::text, 'risk'::text, 'note'::text])))
);

CREATE TABLE hostler.memory_tags (
    session_no bigint NOT NULL,
    tag text NOT NULL,
    memory_id bigint NOT NULL,
    CONSTRAINT memory_tags_pkey PRIMARY KEY (session_no, tag, memory_id)
);

CREATE TABLE hostler.plan_durations (
    name text NOT NULL,
    run_id uuid NOT NULL,
    ended_at timestamp with time zone NOT NULL,
    took_ms bigint NOT NULL,
    CONSTRAINT plan_duration_makes_sense CHECK ((took_ms >= 0)),
    CONSTRAINT plan_durations_pkey PRIMARY KEY (name, run_id)
);

CREATE TABLE hostler.plan_runs (
    id uuid NOT NULL,
    title text NOT NULL,
    plan text NOT NULL,
    agents integer NOT NULL,
    hour_ms bigint NOT NULL,
    rehearsal boolean NOT NULL,
    phased boolean NOT NULL,
    sequential_ms bigint NOT NULL,
    makespan_ms bigint NOT NULL,
    bound_ms bigint NOT NULL,
    found_by text NOT NULL,
    idempotency_key text,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    looked_at timestamp with time zone,
    expected_end_at timestamp with time zone,
    replanned integer NOT NULL DEFAULT 0,
    paused_at timestamp with time zone,
    paused_reason text,
    cancelled_at timestamp with time zone,
    ended_at timestamp with time zone,
    CONSTRAINT plan_runs_pkey PRIMARY KEY (id),
    CONSTRAINT run_key_is_short CHECK (((length(idempotency_key) >= 1) AND (length(idempotency_key) <= 255))),
    CONSTRAINT run_numbers_make_sense CHECK (((agents >= 1) AND (hour_ms >= 1) AND (replanned >= 0) AND ((bound_ms >= 0) AND (bound_ms <= makespan_ms)))),
    CONSTRAINT run_reason_only_while_paused CHECK (((paused_at IS NOT NULL) OR (paused_reason IS NULL)))
);

CREATE TABLE hostler.plan_tasks (
    run_id uuid NOT NULL,
    place integer NOT NULL,
    name text NOT NULL,
    title text NOT NULL,
    phase text,
    human boolean NOT NULL,
    depends_on integer[] NOT NULL,
    task_id uuid NOT NULL,
    gate_id uuid,
    planned_ms bigint NOT NULL,
    start_ms bigint NOT NULL,
    finish_ms bigint NOT NULL,
    worker text NOT NULL,
    critical boolean NOT NULL,
    queue text NOT NULL,
    condition text,
    decided boolean,
    skipped_at timestamp with time zone,
    state task_state,
    ready_at timestamp with time zone,
    began_at timestamp with time zone,
    ended_at timestamp with time zone,
    agent text,
    took_ms bigint,
    merge_id uuid,
    merge_rank integer,
    merge_state task_state,
    CONSTRAINT plan_task_decides_by_something CHECK (((condition IS NOT NULL) OR (decided IS NULL))),
    CONSTRAINT plan_task_ends_for_good CHECK ((state = ANY (ARRAY['completed'::task_state, 'failed'::task_state, 'cancelled'::task_state]))),
    CONSTRAINT plan_task_merge_ends_for_good CHECK ((merge_state = ANY (ARRAY['completed'::task_state, 'failed'::task_state, 'cancelled'::task_state]))),
    CONSTRAINT plan_task_merges_in_order CHECK (((merge_id IS NULL) = (merge_rank IS NULL))),
    CONSTRAINT plan_task_times_make_sense CHECK (((LEAST(planned_ms, start_ms) >= 0) AND (finish_ms >= start_ms) AND (took_ms >= 0))),
    CONSTRAINT plan_tasks_pkey PRIMARY KEY (run_id, place)
);

CREATE TABLE hostler.queue_terms (
    queue text NOT NULL,
    max_attempts integer NOT NULL,
    timeout_ms bigint,
    retry jsonb NOT NULL,
    CONSTRAINT queue_terms_pkey PRIMARY KEY (queue),
    CONSTRAINT terms_make_sense CHECK (((max_attempts >= 1) AND (timeout_ms > 0)))
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

CREATE TABLE hostler.schedule_firings (
    schedule text NOT NULL,
    due_at timestamp with time zone NOT NULL,
    outcome firing_outcome NOT NULL,
    task_id uuid,
    replaced uuid,
    note text,
    fired_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT firing_has_its_task CHECK (((outcome = ANY (ARRAY['fired'::firing_outcome, 'by_hand'::firing_outcome])) = (task_id IS NOT NULL))),
    CONSTRAINT schedule_firings_pkey PRIMARY KEY (schedule, due_at)
);

CREATE TABLE hostler.schedules (
    name text NOT NULL,
    description text NOT NULL,
    origin schedule_origin NOT NULL,
    cron text,
    every_ms bigint,
    zone text NOT NULL,
    queue text NOT NULL,
    kind text NOT NULL,
    input jsonb NOT NULL,
    priority smallint NOT NULL,
    max_attempts integer,
    timeout_ms bigint,
    overlap schedule_overlap NOT NULL,
    catch_up schedule_catch_up NOT NULL,
    catch_up_max integer NOT NULL,
    paused boolean NOT NULL,
    paused_reason text,
    anchor timestamp with time zone NOT NULL,
    next_at timestamp with time zone,
    last_due timestamp with time zone,
    last_at timestamp with time zone,
    last_task uuid,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    changed_at timestamp with time zone NOT NULL DEFAULT now(),
    deadline_ms bigint,
    stale_after_ms bigint,
    CONSTRAINT schedule_deadline_makes_sense CHECK ((deadline_ms > 0)),
    CONSTRAINT schedule_has_one_cadence CHECK ((num_nonnulls(cron, every_ms) = 1)),
    CONSTRAINT schedule_is_due_unless_paused CHECK ((paused = (next_at IS NULL))),
    CONSTRAINT schedule_name_is_plain CHECK ((name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'::text)),
    CONSTRAINT schedule_numbers_make_sense CHECK (((every_ms > 0) AND (max_attempts >= 1) AND (timeout_ms > 0) AND (catch_up_max >= 1))),
    CONSTRAINT schedule_reason_only_while_paused CHECK ((paused OR (paused_reason IS NULL))),
    CONSTRAINT schedule_stale_after_makes_sense CHECK ((stale_after_ms > 0)),
    CONSTRAINT schedules_pkey PRIMARY KEY (name)
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

CREATE TABLE hostler.session_chunks (
    id bigint NOT NULL DEFAULT nextval('session_items'::regclass),
    session_no bigint NOT NULL,
    name text NOT NULL,
    format text NOT NULL,
    size bigint NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    participants text[] NOT NULL,
    extracted jsonb NOT NULL,
    metadata jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    changed_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT chunk_format_is_known CHECK ((format = ANY (ARRAY['dialogue'::text, 'summary'::text, 'transcript'::text]))),
    CONSTRAINT chunk_name_is_short CHECK (((length(name) >= 1) AND (length(name) <= 255))),
    CONSTRAINT session_chunks_pkey PRIMARY KEY (id)
);

CREATE TABLE hostler.session_tasks (
    id bigint NOT NULL DEFAULT nextval('session_items'::regclass),
    session_no bigint NOT NULL,
    name text NOT NULL,
    task_id uuid,
    agent text NOT NULL,
    type text NOT NULL,
    description text NOT NULL,
    input jsonb NOT NULL,
    past jsonb,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT session_task_is_here_or_past CHECK (((task_id IS NULL) = (past IS NOT NULL))),
    CONSTRAINT session_task_name_is_short CHECK (((length(name) >= 1) AND (length(name) <= 255))),
    CONSTRAINT session_tasks_pkey PRIMARY KEY (id)
);

CREATE TABLE hostler.session_texts (
    item_id bigint NOT NULL,
    part integer NOT NULL,
    session_no bigint NOT NULL,
    content text NOT NULL,
    search tsvector DEFAULT (to_tsvector('english'::regconfig, content) || array_to_tsvector(ARRAY[(''::text || (session_no)::text)])),
    CONSTRAINT session_texts_pkey PRIMARY KEY (item_id, part)
);

CREATE TABLE hostler.sessions (
    no bigint NOT NULL,
    id text NOT NULL,
    title text NOT NULL,
    context text NOT NULL,
    participants text[] NOT NULL,
    metadata jsonb NOT NULL,
    state session_state NOT NULL DEFAULT 'active'::session_state,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    changed_at timestamp with time zone NOT NULL DEFAULT now(),
    completed_at timestamp with time zone,
    search tsvector DEFAULT ((setweight(to_tsvector('english'::regconfig, "left"(title, 10000)), 'A'::"char") || to_tsvector('english'::regconfig, "left"(context, 100000))) || array_to_tsvector(ARRAY[(''::text || (no)::text)])),
    CONSTRAINT session_ends_once CHECK (((state = 'completed'::session_state) = (completed_at IS NOT NULL))),
    CONSTRAINT session_names_make_sense CHECK (((length(id) >= 1) AND (length(id) <= 200))),
    CONSTRAINT sessions_id_key UNIQUE (id),
    CONSTRAINT sessions_pkey PRIMARY KEY (no)
);

CREATE TABLE hostler.task_events (
    task_id uuid NOT NULL,
    number integer NOT NULL,
    state task_state NOT NULL,
    attempt integer NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT now(),
    position bigint DEFAULT nextval('feed_position'::regclass),
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT task_events_pkey PRIMARY KEY (task_id, number)
);

CREATE TABLE hostler.task_failures (
    task_id uuid NOT NULL,
    attempt integer NOT NULL,
    class failure_class NOT NULL,
    message text NOT NULL,
    detail jsonb NOT NULL,
    CONSTRAINT task_failures_pkey PRIMARY KEY (task_id)
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

CREATE TABLE hostler.task_members (
    task_id uuid NOT NULL,
    group_name text,
    batch_id uuid,
    CONSTRAINT group_name_is_plain CHECK ((group_name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'::text)),
    CONSTRAINT member_of_something CHECK ((num_nonnulls(group_name, batch_id) > 0)),
    CONSTRAINT task_members_pkey PRIMARY KEY (task_id)
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
    kept_until timestamp with time zone,
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
    deadline timestamp with time zone,
    lane bigint,
    workspace jsonb,
    stale_after_ms bigint,
    CONSTRAINT cancel_is_asked_of_a_holder CHECK (((NOT cancel_requested) OR (state = ANY (ARRAY['running'::task_state, 'awaiting_input'::task_state])))),
    CONSTRAINT counts_make_sense CHECK (((attempt >= 0) AND (failures >= 0) AND (failures <= attempt) AND (max_attempts >= 1) AND (version >= 1) AND (timeout_ms > 0))),
    CONSTRAINT finished_iff_final CHECK (((state = ANY (ARRAY['completed'::task_state, 'failed'::task_state, 'cancelled'::task_state])) = (finished_at IS NOT NULL))),
    CONSTRAINT held_iff_a_host_holds_it CHECK ((num_nonnulls(host_id, agent, started_at) =
CASE
    WHEN (state = ANY (ARRAY['running'::task_state, 'awaiting_input'::task_state])) THEN 3
    ELSE 0
END)),
    CONSTRAINT held_under_a_number CHECK (((attempt >= 1) OR (state <> ALL (ARRAY['running'::task_state, 'awaiting_input'::task_state, 'completed'::task_state])))) NOT VALID,
    CONSTRAINT stale_after_makes_sense CHECK ((stale_after_ms > 0)),
    CONSTRAINT tasks_pkey PRIMARY KEY (id),
    CONSTRAINT texts_are_short CHECK (((length(kind) <= 255) AND ((length(idempotency_key) >= 1) AND (length(idempotency_key) <= 255))))
) WITH (autovacuum_vacuum_scale_factor=0.02, autovacuum_analyze_scale_factor=0.02);

CREATE TABLE hostler.webhook_callbacks (
    task_id uuid NOT NULL,
    url text NOT NULL,
    CONSTRAINT webhook_callbacks_pkey PRIMARY KEY (task_id)
);

CREATE TABLE hostler.webhook_deliveries (
    id uuid NOT NULL,
    number bigint NOT NULL,
    endpoint text NOT NULL,
    url text,
    type text NOT NULL,
    task_id uuid,
    payload text NOT NULL,
    state delivery_state NOT NULL DEFAULT 'pending'::delivery_state,
    failures integer NOT NULL DEFAULT 0,
    due_at timestamp with time zone NOT NULL DEFAULT now(),
    sender uuid,
    sent_until timestamp with time zone,
    status integer,
    problem text,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    ended_at timestamp with time zone,
    CONSTRAINT ended_iff_not_pending CHECK (((state = 'pending'::delivery_state) = (ended_at IS NULL))),
    CONSTRAINT sent_by_somebody CHECK (((sender IS NULL) = (sent_until IS NULL))),
    CONSTRAINT webhook_deliveries_endpoint_fkey FOREIGN KEY (endpoint) REFERENCES webhook_endpoints(name) ON DELETE CASCADE,
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (id)
);

CREATE TABLE hostler.webhook_endpoints (
    name text NOT NULL,
    url text,
    description text NOT NULL DEFAULT ''::text,
    filter jsonb NOT NULL DEFAULT '{}'::jsonb,
    secret text NOT NULL,
    old_secret text,
    old_secret_until timestamp with time zone,
    concurrency integer NOT NULL,
    ordered boolean NOT NULL,
    timeout_ms integer NOT NULL,
    origin schedule_origin NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    disabled_reason text,
    not_before timestamp with time zone,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT callbacks_have_their_own_url CHECK (((url IS NULL) = (name = 'callbacks'::text))),
    CONSTRAINT disabled_for_a_reason CHECK ((enabled = (disabled_reason IS NULL))),
    CONSTRAINT endpoint_makes_sense CHECK (((concurrency >= 1) AND (timeout_ms >= 1))),
    CONSTRAINT endpoint_name_is_plain CHECK ((name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'::text)),
    CONSTRAINT old_secret_has_an_end CHECK (((old_secret IS NULL) = (old_secret_until IS NULL))),
    CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (name)
);

CREATE TABLE hostler.webhook_feed (
    one boolean NOT NULL DEFAULT true,
    cursor text NOT NULL,
    known xid8,
    CONSTRAINT there_is_one_place CHECK (one),
    CONSTRAINT webhook_feed_pkey PRIMARY KEY (one)
);

CREATE TABLE hostler.webhook_receipts (
    kind text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status integer,
    answer jsonb,
    at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT receipt_is_whole CHECK (((status IS NULL) = (answer IS NULL))),
    CONSTRAINT webhook_receipts_pkey PRIMARY KEY (kind, key)
);

CREATE TABLE hostler.workspaces (
    task_id uuid NOT NULL,
    attempt integer NOT NULL,
    record jsonb NOT NULL,
    CONSTRAINT workspaces_pkey PRIMARY KEY (task_id, attempt)
);

CREATE UNIQUE INDEX artifacts_by_name ON hostler.artifacts USING btree (session_no, name);

CREATE INDEX artifacts_newest ON hostler.artifacts USING btree (session_no, id);

CREATE INDEX audit_at ON hostler.audit USING btree (at);

CREATE UNIQUE INDEX batches_idempotency_key ON hostler.batches USING btree (idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX batches_unfinished ON hostler.batches USING btree (id) WHERE (done_at IS NULL);

CREATE INDEX dependencies_on ON hostler.dependencies USING btree (depends_on, task_id);

CREATE INDEX host_events_tx ON hostler.host_events USING btree (tx);

CREATE INDEX log_claims_by_host ON hostler.log_claims USING btree (host_id);

CREATE INDEX log_claims_by_lane ON hostler.log_claims USING btree (lane, last);

CREATE INDEX log_cursors_by_place ON hostler.log_cursors USING btree (lane, taken);

CREATE INDEX log_feed_tx ON hostler.log_feed USING btree (tx);

CREATE UNIQUE INDEX memories_by_key ON hostler.memories USING btree (session_no, key);

CREATE INDEX memories_newest ON hostler.memories USING btree (session_no, type, id);

CREATE INDEX memories_search ON hostler.memories USING gin (search) WITH (gin_pending_list_limit='4096');

CREATE INDEX plan_durations_newest ON hostler.plan_durations USING btree (name, ended_at);

CREATE UNIQUE INDEX plan_runs_idempotency_key ON hostler.plan_runs USING btree (idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX plan_runs_open ON hostler.plan_runs USING btree (id) WHERE (ended_at IS NULL);

CREATE UNIQUE INDEX plan_tasks_by_merge ON hostler.plan_tasks USING btree (merge_id) WHERE (merge_id IS NOT NULL);

CREATE UNIQUE INDEX plan_tasks_by_name ON hostler.plan_tasks USING btree (run_id, name);

CREATE INDEX plan_tasks_by_task ON hostler.plan_tasks USING btree (task_id);

CREATE INDEX plan_tasks_history ON hostler.plan_tasks USING btree (name, ended_at) WHERE (took_ms IS NOT NULL);

CREATE UNIQUE INDEX plan_tasks_merges ON hostler.plan_tasks USING btree (run_id, merge_rank) WHERE (merge_rank IS NOT NULL);

CREATE INDEX schedules_due ON hostler.schedules USING btree (next_at) WHERE (next_at IS NOT NULL);

CREATE UNIQUE INDEX session_chunks_by_name ON hostler.session_chunks USING btree (session_no, name);

CREATE INDEX session_chunks_newest ON hostler.session_chunks USING btree (session_no, id);

CREATE UNIQUE INDEX session_tasks_by_name ON hostler.session_tasks USING btree (session_no, name);

CREATE INDEX session_tasks_by_task ON hostler.session_tasks USING btree (task_id) WHERE (task_id IS NOT NULL);

CREATE INDEX session_tasks_newest ON hostler.session_tasks USING btree (session_no, id);

CREATE INDEX session_texts_search ON hostler.session_texts USING gin (search) WITH (gin_pending_list_limit='256');

CREATE INDEX sessions_by_state ON hostler.sessions USING btree (state, no);

CREATE INDEX sessions_search ON hostler.sessions USING gin (search) WITH (gin_pending_list_limit='256');

CREATE INDEX task_events_tx ON hostler.task_events USING btree (tx) WHERE ("position" IS NOT NULL);

CREATE UNIQUE INDEX task_holds_exclusive ON hostler.task_holds USING btree (name) WHERE (kind = 'exclusive'::need_kind);

CREATE INDEX task_members_by_batch ON hostler.task_members USING btree (batch_id, task_id) WHERE (batch_id IS NOT NULL);

CREATE INDEX task_members_by_group ON hostler.task_members USING btree (group_name, task_id) WHERE (group_name IS NOT NULL);

CREATE INDEX task_tally_by_scope ON hostler.task_tally USING btree (scope, state);

CREATE INDEX task_unique_by_task ON hostler.task_unique USING btree (task_id);

CREATE INDEX task_waits_since ON hostler.task_waits USING btree (since, task_id);

CREATE INDEX tasks_deadline ON hostler.tasks USING btree (deadline) WHERE ((deadline IS NOT NULL) AND (state = ANY (ARRAY['blocked'::task_state, 'scheduled'::task_state, 'pending'::task_state])));

CREATE INDEX tasks_held ON hostler.tasks USING btree (host_id, id) WHERE (state = ANY (ARRAY['running'::task_state, 'awaiting_input'::task_state]));

CREATE UNIQUE INDEX tasks_idempotency_key ON hostler.tasks USING btree (idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX tasks_lanes ON hostler.tasks USING btree (queue, lane, priority DESC, id) WHERE ((state = 'pending'::task_state) AND (lane IS NOT NULL));

CREATE INDEX tasks_listed ON hostler.tasks USING btree (queue, state, id);

CREATE INDEX tasks_needing ON hostler.tasks USING btree (queue, priority DESC, id) INCLUDE (run_at) WHERE ((state = 'pending'::task_state) AND (lane IS NOT NULL));

CREATE INDEX tasks_pending ON hostler.tasks USING btree (queue, priority DESC, id) INCLUDE (run_at) WHERE ((state = 'pending'::task_state) AND (lane IS NULL));

CREATE INDEX tasks_scheduled ON hostler.tasks USING btree (run_at) WHERE (state = 'scheduled'::task_state);

CREATE INDEX webhook_deliveries_dead ON hostler.webhook_deliveries USING btree (endpoint, number) WHERE (state = 'dead'::delivery_state);

CREATE INDEX webhook_deliveries_due ON hostler.webhook_deliveries USING btree (endpoint, due_at, number) WHERE (state = 'pending'::delivery_state);

CREATE INDEX webhook_deliveries_ended ON hostler.webhook_deliveries USING btree (ended_at) WHERE (state <> 'pending'::delivery_state);

CREATE INDEX webhook_deliveries_number ON hostler.webhook_deliveries USING btree (number);

CREATE INDEX webhook_deliveries_order ON hostler.webhook_deliveries USING btree (endpoint, number) WHERE (state = 'pending'::delivery_state);

CREATE INDEX webhook_receipts_oldest ON hostler.webhook_receipts USING btree (at);

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

CREATE OR REPLACE FUNCTION hostler.after_failure(queue text, own jsonb, detail jsonb, failures integer, max_attempts integer, dice double precision DEFAULT random())
 RETURNS interval
 LANGUAGE plpgsql
 STABLE
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION hostler.api_keys_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM pg_notify('hostler_keys', '');
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.audit_stands()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION 'a row of hostler.audit is never changed' USING ERRCODE = 'restrict_violation';
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
        made := hostler.task_id_at((extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
        INSERT INTO hostler.tasks (
            id, queue, kind, state, priority, max_attempts, timeout_ms, stale_after_ms
        )
        VALUES (made, callback.queue, callback.kind, 'pending', callback.priority,
            callback.max_attempts, callback.timeout_ms, callback.stale_after_ms);
        INSERT INTO hostler.task_inputs (task_id, input)
        VALUES (made, callback.input || jsonb_build_object('batch', hostler.batch_summary(NEW)));
        UPDATE hostler.batch_callbacks SET task_id = made
        WHERE batch_id = callback.batch_id AND on_end = callback.on_end;
        PERFORM pg_notify('hostler_wake', callback.queue);
    END LOOP;
    RETURN NULL;
END
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

CREATE OR REPLACE FUNCTION hostler.check_agent(agent_name text, control_agent text, lease interval)
 RETURNS void
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION hostler.check_session_step()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF (OLD.state, NEW.state) NOT IN (
        ('active', 'active'), ('active', 'paused'), ('active', 'completed'),
        ('paused', 'paused'), ('paused', 'active'), ('paused', 'completed'),
        ('completed', 'completed')
    ) THEN
        RAISE EXCEPTION 'a session can not go from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'session_step';
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.claim_task(agent_name text, control_agent text DEFAULT 'external'::text, queues text[] DEFAULT NULL::text[], lease interval DEFAULT '00:01:00'::interval)
 RETURNS TABLE(task_id uuid, input_data jsonb, attempt integer, queue text, kind text, attempts_left integer, timeout interval, lease_ends_at timestamp with time zone)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION hostler.close_dependencies(ended uuid[], became task_state[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
DECLARE
    ready uuid[];
BEGIN
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
    SELECT array_agg(task_id) INTO ready FROM done WHERE open = 0;
    RETURN ready;
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

CREATE OR REPLACE FUNCTION hostler.complete_task(task_id uuid, output jsonb DEFAULT 'null'::jsonb, attempt integer DEFAULT NULL::integer, agent_name text DEFAULT NULL::text, control_agent text DEFAULT 'external'::text)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT hostler.end_external_attempt(
        task_id, attempt, agent_name, control_agent, 'completed', coalesce(output, 'null'),
        NULL, NULL, NULL
    )
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
        SELECT scope, state, sum(change)::bigint AS change
        FROM (
            SELECT grp, batch, was, becomes, count(*) AS members
            FROM unnest(groups, of_batches, old_states, new_states)
                AS member (grp, batch, was, becomes)
            GROUP BY grp, batch, was, becomes
        ) AS alike
        CROSS JOIN LATERAL (
            VALUES ('group ' || grp, was, -members), ('group ' || grp, becomes, members),
                ('batch ' || batch, was, -members), ('batch ' || batch, becomes, members)
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

CREATE OR REPLACE FUNCTION hostler.count_open(waiting uuid[])
 RETURNS void
 LANGUAGE sql
AS $function$
    UPDATE hostler.dependents
    SET open = (
        SELECT count(*)
        FROM hostler.dependencies
        WHERE dependencies.task_id = dependents.task_id AND NOT dependencies.waived
            AND NOT hostler.dependency_is_done(
                dependents.policy, hostler.dependency_state(dependencies.depends_on)
            )
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
                'state', hostler.dependency_state(dependencies.depends_on),
                'output', coalesce(
                    (SELECT output FROM hostler.task_results AS kept
                    WHERE kept.task_id = dependencies.depends_on),
                    (SELECT ended.output
                    FROM hostler.log_tasks AS entry
                    JOIN hostler.log_ends AS ended
                        ON ended.lane = entry.lane AND ended.number = entry.number
                    WHERE entry.id = dependencies.depends_on)
                ),
                'error', coalesce(
                    (SELECT jsonb_build_object('class', late.class, 'message', late.message)
                    FROM hostler.task_failures AS late
                    WHERE late.task_id = dependencies.depends_on
                        AND (late.attempt, 'failed') = (
                            SELECT tasks.attempt, tasks.state FROM hostler.tasks
                            WHERE tasks.id = dependencies.depends_on
                        )),
                    (SELECT jsonb_build_object('class', class, 'message', message)
                    FROM hostler.attempts
                    WHERE attempts.task_id = dependencies.depends_on AND outcome = 'failed'
                    ORDER BY attempt DESC
                    LIMIT 1)
                )
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

CREATE OR REPLACE FUNCTION hostler.dependency_state(wanted uuid)
 RETURNS task_state
 LANGUAGE sql
 STABLE
AS $function$
    SELECT coalesce(
        (SELECT tasks.state FROM hostler.tasks WHERE tasks.id = wanted),
        (
            SELECT 'completed'::hostler.task_state
            FROM hostler.log_tasks AS entry
            JOIN hostler.log_ends AS ended
                ON ended.lane = entry.lane AND ended.number = entry.number
            WHERE entry.id = wanted AND NOT ended.moved
        )
    )
$function$;

CREATE OR REPLACE FUNCTION hostler.divert(for_host uuid, wanted text[], most integer)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
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

CREATE OR REPLACE FUNCTION hostler.drop_passed_deadline()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    NEW.deadline := NULL;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.end_by_hand(ids uuid[], person text, end_state task_state, output jsonb, message text)
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    held uuid[];
BEGIN
    SELECT coalesce(array_agg(found.id), '{}') INTO held FROM (
        SELECT tasks.id FROM hostler.tasks
        WHERE tasks.id = ANY (ids) AND tasks.state IS NOT DISTINCT FROM 'pending'
        ORDER BY tasks.id
        FOR UPDATE
    ) AS found;
    UPDATE hostler.tasks
    SET state = 'running', version = tasks.version + 1, attempt = tasks.attempt + 1,
        host_id = '00000000-0000-0000-0000-000000000000', agent = person, started_at = now()
    WHERE tasks.id = ANY (held);
    INSERT INTO hostler.attempts (
        task_id, attempt, outcome, class, message, detail, host_id, agent, started_at
    )
    SELECT tasks.id, tasks.attempt,
        (CASE WHEN end_state = 'completed' THEN 'completed' ELSE 'failed' END)::hostler.attempt_outcome,
        (CASE WHEN end_state = 'failed' THEN 'task' END)::hostler.failure_class,
        CASE WHEN end_state = 'failed' THEN end_by_hand.message END,
        CASE WHEN end_state = 'failed' THEN 'null'::jsonb END,
        tasks.host_id, person, tasks.started_at
    FROM hostler.tasks WHERE tasks.id = ANY (held);
    INSERT INTO hostler.task_results (task_id, output)
    SELECT unnest(held), coalesce(end_by_hand.output, 'null'::jsonb) WHERE end_state = 'completed';
    UPDATE hostler.tasks
    SET state = end_state, version = tasks.version + 1, finished_at = now(),
        failures = tasks.failures + (end_state = 'failed')::integer,
        host_id = NULL, agent = NULL, started_at = NULL
    WHERE tasks.id = ANY (held);
    RETURN held;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.end_external_attempt(task_id uuid, attempt integer, agent_name text, control_agent text, outcome attempt_outcome, output jsonb, message text, detail jsonb, reason text)
 RETURNS boolean
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
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
        WHEN held.cancel_requested OR outcome = 'cancelled' THEN 'cancelled'
        WHEN outcome = 'failed' AND wait IS NULL THEN 'failed'
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
$function$;

CREATE OR REPLACE FUNCTION hostler.enqueue(queue text, kind text, input jsonb DEFAULT 'null'::jsonb, priority integer DEFAULT 0, run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, delay interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, timeout interval DEFAULT NULL::interval, idempotency_key text DEFAULT NULL::text, wake boolean DEFAULT NULL::boolean, stale_after interval DEFAULT NULL::interval)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION hostler.enqueue_many(tasks jsonb, wake boolean DEFAULT NULL::boolean)
 RETURNS TABLE(place bigint, task_id uuid, created boolean)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION hostler.external_slot(agent_name text, control_agent text)
 RETURNS uuid
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT md5(length(control_agent) || ':' || control_agent || agent_name)::uuid
$function$;

CREATE OR REPLACE FUNCTION hostler.fail_task(task_id uuid, error text, attempt integer DEFAULT NULL::integer, agent_name text DEFAULT NULL::text, control_agent text DEFAULT 'external'::text, detail jsonb DEFAULT 'null'::jsonb)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT hostler.end_external_attempt(
        task_id, attempt, agent_name, control_agent, 'failed', NULL,
        coalesce(error, ''), coalesce(detail, 'null'), NULL
    )
$function$;

CREATE OR REPLACE FUNCTION hostler.feed_begins_after(newest xid8)
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO hostler.feed_horizon AS horizon (gone)
    SELECT newest WHERE newest IS NOT NULL
    ON CONFLICT (one) DO UPDATE SET gone = EXCLUDED.gone WHERE horizon.gone < EXCLUDED.gone
$function$;

CREATE OR REPLACE FUNCTION hostler.feed_moment()
 RETURNS TABLE(gone xid8, upto pg_snapshot)
 LANGUAGE sql
 STABLE ROWS 1
AS $function$
    WITH horizon AS MATERIALIZED (
        SELECT coalesce((SELECT feed_horizon.gone FROM hostler.feed_horizon WHERE one), '0') AS past
    ), newest AS MATERIALIZED (
        SELECT past, greatest(
            past,
            (SELECT tx FROM hostler.task_events WHERE position IS NOT NULL ORDER BY tx DESC LIMIT 1),
            (SELECT tx FROM hostler.log_feed ORDER BY tx DESC LIMIT 1),
            (SELECT tx FROM hostler.host_events ORDER BY tx DESC LIMIT 1),
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
$function$;

CREATE OR REPLACE FUNCTION hostler.forget_deleted_failures()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    DELETE FROM hostler.task_failures WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
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
    DELETE FROM hostler.dead_letter_notes WHERE task_id = ANY (ids);
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
DECLARE
    newest xid8;
BEGIN
    DELETE FROM hostler.task_inputs WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    DELETE FROM hostler.task_results WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    DELETE FROM hostler.attempts WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    WITH told AS (
        DELETE FROM hostler.task_events WHERE task_id = ANY (ARRAY(SELECT id FROM gone))
        RETURNING tx, position
    )
    SELECT tx INTO newest FROM told WHERE position IS NOT NULL ORDER BY tx DESC LIMIT 1;
    DELETE FROM hostler.task_needs WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    PERFORM hostler.feed_begins_after(newest);
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

CREATE OR REPLACE FUNCTION hostler.free_holds()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    DELETE FROM hostler.task_holds WHERE task_id = OLD.id;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.heartbeat(agent_name text, control_agent text DEFAULT 'external'::text, lease interval DEFAULT '00:01:00'::interval)
 RETURNS TABLE(task_id uuid, attempt integer, cancel_requested boolean, lease_ends_at timestamp with time zone)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
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
        hostler.dependency_state(dependencies.depends_on)
    )
    ORDER BY place
    LIMIT 1
$function$;

CREATE OR REPLACE FUNCTION hostler.input_problem(input jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
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

CREATE OR REPLACE FUNCTION hostler.is_needed(wanted uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (
        SELECT FROM hostler.dependencies
        WHERE dependencies.depends_on = wanted
            AND (SELECT state FROM hostler.tasks WHERE tasks.id = dependencies.task_id)
                NOT IN ('completed', 'cancelled')
    ) OR EXISTS (
        SELECT FROM hostler.task_members AS member
        WHERE member.task_id = wanted AND (
            (SELECT done_at FROM hostler.batches WHERE batches.id = member.batch_id) IS NULL
                AND member.batch_id IS NOT NULL
            OR (
                SELECT sum(tally.tasks)
                FROM hostler.task_tally AS tally
                WHERE tally.scope = 'group ' || member.group_name
                    AND tally.state NOT IN ('completed', 'failed', 'cancelled')
            ) > 0
        )
    ) OR EXISTS (
        SELECT FROM hostler.task_unique
        WHERE task_unique.task_id = wanted AND task_unique.kept_until > now()
    ) OR EXISTS (
        SELECT FROM hostler.task_events AS step
        WHERE step.task_id = wanted AND step.tx >= pg_snapshot_xmin(pg_current_snapshot())
    )
$function$;

CREATE OR REPLACE FUNCTION hostler.lock_blocked(ids uuid[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    one uuid;
    locked uuid[] := '{}';
BEGIN
    FOR one IN SELECT DISTINCT id FROM unnest(ids) AS id ORDER BY id LOOP
        PERFORM FROM hostler.dependents WHERE task_id = one FOR NO KEY UPDATE;
        PERFORM FROM hostler.tasks
        WHERE id = one AND state IS NOT DISTINCT FROM 'blocked'
        FOR NO KEY UPDATE;
        IF FOUND THEN
            locked := locked || one;
        END IF;
    END LOOP;
    RETURN locked;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.lock_connected(wanted uuid[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    touched uuid[];
    free uuid[];
BEGIN
    free := ARRAY(
        SELECT id FROM hostler.tasks
        WHERE id = ANY (wanted) AND state NOT IN ('blocked', 'completed', 'failed', 'cancelled')
        ORDER BY id
        FOR NO KEY UPDATE
    );
    touched := ARRAY(
        SELECT id FROM hostler.tasks
        WHERE id = ANY (wanted) AND state IS NOT DISTINCT FROM 'blocked'
    );
    IF EXISTS (SELECT FROM hostler.dependencies WHERE depends_on = ANY (wanted)) THEN
        touched := touched || hostler.doomed_by(wanted);
        touched := touched || ARRAY(
            SELECT blocked_task
            FROM unnest(wanted || touched) AS one (id) CROSS JOIN LATERAL hostler.blocked_by(one.id)
        );
    END IF;
    RETURN ARRAY(
        SELECT unnest(free || hostler.lock_blocked(touched)) INTERSECT SELECT unnest(wanted)
    );
END
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
    PERFORM id FROM hostler.tasks
    WHERE id = ANY (wanted) AND state IS NOT DISTINCT FROM 'completed'
    ORDER BY id
    FOR KEY SHARE;
    PERFORM number FROM hostler.log_tasks
    WHERE id = ANY (wanted)
    ORDER BY lane, number
    FOR KEY SHARE;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.lock_dependents(ended uuid[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
BEGIN
    RETURN hostler.lock_blocked(ARRAY(
        SELECT blocked_task
        FROM unnest(ended) AS one (id) CROSS JOIN LATERAL hostler.blocked_by(one.id)
    ));
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

CREATE OR REPLACE FUNCTION hostler.newest_failure(wanted uuid)
 RETURNS failure_class
 LANGUAGE sql
 STABLE
AS $function$
    SELECT coalesce(
        (
            SELECT late.class
            FROM hostler.tasks
            JOIN hostler.task_failures AS late
                ON late.task_id = tasks.id AND late.attempt = tasks.attempt
            WHERE tasks.id = wanted AND tasks.state = 'failed'
        ),
        (
            SELECT attempts.class
            FROM hostler.attempts
            WHERE attempts.task_id = wanted AND attempts.outcome = 'failed'
            ORDER BY attempts.attempt DESC
            LIMIT 1
        )
    )
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

CREATE OR REPLACE FUNCTION hostler.pass_over()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.plainly_claimable(wanted text[])
 RETURNS text[]
 LANGUAGE sql
 STABLE
AS $function$
    SELECT ARRAY(
        SELECT name
        FROM hostler.queues
        WHERE (wanted IS NULL OR name = ANY (wanted))
            AND concurrency IS NULL AND rate_count IS NULL
            AND (NOT paused OR paused_until <= now())
            AND NOT EXISTS (SELECT FROM hostler.limits WHERE limits.limited AND limits.scope = 'all')
    )
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
        INSERT INTO hostler.dead_letter_notes AS letter (task_id, redrives, redriven_at)
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
    INSERT INTO hostler.task_events (task_id, number, state, attempt, at)
    SELECT after.id, after.version, after.state, after.attempt,
        CASE WHEN before.state = 'pending' THEN coalesce(after.started_at, now()) ELSE now() END
    FROM after JOIN before USING (id)
    WHERE after.version <> before.version;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.refuse_task(queue text, problem text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION 'cannot enqueue into queue "%": %', queue, problem
        USING ERRCODE = 'invalid_parameter_value';
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

CREATE OR REPLACE FUNCTION hostler.refuse_tasks(tasks jsonb)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
AS $function$
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
                hostler.dependency_state(dependencies.depends_on)
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

CREATE OR REPLACE FUNCTION hostler.release_task(task_id uuid, reason text, attempt integer DEFAULT NULL::integer, agent_name text DEFAULT NULL::text, control_agent text DEFAULT 'external'::text)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT hostler.end_external_attempt(
        task_id, attempt, agent_name, control_agent, 'released', NULL,
        NULL, NULL, coalesce(reason, 'its agent put it back')
    )
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

CREATE OR REPLACE FUNCTION hostler.shown_ids(ids uuid[])
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT coalesce(jsonb_agg('tsk_' || replace(id::text, '-', '')), '[]') FROM unnest(ids) AS given (id)
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

CREATE OR REPLACE FUNCTION hostler.tag_changed_memory()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    former text;
BEGIN
    -- One after the other: each is found by the index, whatever is known of how many there are.
    FOREACH former IN ARRAY OLD.tags LOOP
        DELETE FROM hostler.memory_tags
        WHERE session_no = OLD.session_no AND tag = former AND memory_id = OLD.id;
    END LOOP;
    INSERT INTO hostler.memory_tags (session_no, tag, memory_id)
    SELECT DISTINCT NEW.session_no, tag, NEW.id FROM unnest(NEW.tags) AS tag;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION hostler.tag_new_memories()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO hostler.memory_tags (session_no, tag, memory_id)
    SELECT DISTINCT now.session_no, tag, now.id
    FROM new_rows AS now CROSS JOIN unnest(now.tags) AS tag;
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

CREATE OR REPLACE FUNCTION hostler.task_fields(task jsonb, OUT queue text, OUT kind text, OUT input jsonb, OUT priority numeric, OUT run_at timestamp with time zone, OUT delay interval, OUT max_attempts numeric, OUT timeout interval, OUT idempotency_key text, OUT stale_after interval)
 RETURNS record
 LANGUAGE sql
 STABLE
AS $function$
    SELECT task ->> 'queue', task ->> 'kind', coalesce(task -> 'input', 'null'),
        (task ->> 'priority')::numeric, (task ->> 'run_at')::timestamptz,
        (task ->> 'delay')::interval, (task ->> 'max_attempts')::numeric,
        (task ->> 'timeout')::interval, task ->> 'idempotency_key',
        (task ->> 'stale_after')::interval
$function$;

CREATE OR REPLACE FUNCTION hostler.task_id_at(microseconds bigint)
 RETURNS uuid
 LANGUAGE sql
AS $function$
    SELECT (
        lpad(to_hex(microseconds / 1000), 12, '0') || '7'
        || lpad(to_hex(microseconds % 1000 * 4096 / 1000), 3, '0')
        || substr(replace(gen_random_uuid()::text, '-', ''), 17)
    )::uuid
$function$;

CREATE OR REPLACE FUNCTION hostler.task_problem(queue text, kind text, priority numeric, run_at timestamp with time zone, delay interval, max_attempts numeric, timeout interval, idempotency_key text, stale_after interval)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION hostler.task_result(task_id uuid, OUT state text, OUT output jsonb, OUT error text, OUT finished_at timestamp with time zone)
 RETURNS record
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT tasks.state::text,
        (SELECT output FROM hostler.task_results WHERE task_results.task_id = tasks.id),
        coalesce(
            (
                SELECT message FROM hostler.task_failures
                WHERE task_failures.task_id = tasks.id AND tasks.state = 'failed'
                    AND task_failures.attempt = tasks.attempt
            ),
            (
                SELECT message FROM hostler.attempts
                WHERE attempts.task_id = tasks.id AND attempts.outcome = 'failed'
                ORDER BY attempts.attempt DESC
                LIMIT 1
            )
        ),
        tasks.finished_at
    FROM hostler.tasks
    WHERE tasks.id = task_result.task_id
    UNION ALL
    SELECT record.state::text, record.output, NULL, record.finished_at
    FROM hostler.log_records AS record
    WHERE record.id = task_result.task_id
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
    PERFORM number FROM hostler.log_tasks
    WHERE id = ANY (ids)
    ORDER BY lane, number
    FOR KEY SHARE;
    UPDATE hostler.log_cursors SET moves = moves + 1
    WHERE EXISTS (
        SELECT FROM hostler.log_tasks AS entry
        WHERE entry.id = ANY (ids) AND entry.lane = log_cursors.lane
            AND entry.number > log_cursors.taken
    );

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

    UPDATE hostler.task_events SET position = NULL WHERE task_id = ANY (gone);
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

CREATE OR REPLACE FUNCTION hostler.track_next(queues text[])
 RETURNS uuid
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION hostler.unblock(ready uuid[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE hostler.tasks
    SET state = CASE WHEN run_at > now() THEN 'scheduled' ELSE 'pending' END::hostler.task_state,
        run_at = greatest(run_at, now()), version = version + 1
    WHERE id = ANY (ready) AND state IS NOT DISTINCT FROM 'blocked';
END
$function$;

CREATE OR REPLACE FUNCTION hostler.untag_memories()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    DELETE FROM hostler.memory_tags AS gone
    USING (
        SELECT DISTINCT was.session_no, tag, was.id
        FROM old_rows AS was CROSS JOIN unnest(was.tags) AS tag
    ) AS former
    WHERE gone.session_no = former.session_no AND gone.tag = former.tag
        AND gone.memory_id = former.id;
    RETURN NULL;
END
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
            hostler.dependency_state(dependencies.depends_on)
        )
        ORDER BY place
        LIMIT most
    )
$function$;

CREATE OR REPLACE FUNCTION hostler.wake_hosts(wake boolean)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
            AND hostler.dependency_state(dependencies.depends_on) IS NULL;
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

CREATE TRIGGER api_keys_changed AFTER INSERT OR DELETE OR UPDATE OF id, hash, scopes, fleets, queues, rate_count, rate_per_ms, expires_at, revoked_at OR TRUNCATE ON api_keys FOR EACH STATEMENT EXECUTE FUNCTION api_keys_changed();

CREATE TRIGGER audit_stands BEFORE UPDATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_stands();

CREATE TRIGGER batches_call_back AFTER UPDATE ON batches FOR EACH ROW WHEN (old.done_at IS NULL AND new.done_at IS NOT NULL) EXECUTE FUNCTION call_back();

CREATE TRIGGER batches_done BEFORE UPDATE ON batches FOR EACH ROW EXECUTE FUNCTION close_done_batch();

CREATE TRIGGER memories_tag_changed AFTER UPDATE ON memories FOR EACH ROW EXECUTE FUNCTION tag_changed_memory();

CREATE TRIGGER memories_tag_gone AFTER DELETE ON memories REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION untag_memories();

CREATE TRIGGER memories_tag_new AFTER INSERT ON memories REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (current_setting('hostler.tags_are_entered'::text, true) IS DISTINCT FROM 'yes'::text) EXECUTE FUNCTION tag_new_memories();

CREATE TRIGGER sessions_step BEFORE UPDATE OF state ON sessions FOR EACH ROW EXECUTE FUNCTION check_session_step();

CREATE TRIGGER task_members_count_new AFTER INSERT ON task_members REFERENCING NEW TABLE AS joined FOR EACH STATEMENT EXECUTE FUNCTION count_new_members();

CREATE TRIGGER tasks_begin BEFORE INSERT ON tasks FOR EACH ROW WHEN ((new.state <> ALL (ARRAY['blocked'::task_state, 'scheduled'::task_state, 'pending'::task_state])) OR new.version <> 1 OR new.attempt <> 0) EXECUTE FUNCTION refuse_task_step();

CREATE TRIGGER tasks_claim_in_time BEFORE UPDATE ON tasks FOR EACH ROW WHEN (new.deadline <= now() AND old.state = 'pending'::task_state AND new.state = 'running'::task_state) EXECUTE FUNCTION pass_over();

CREATE TRIGGER tasks_end BEFORE DELETE ON tasks FOR EACH ROW WHEN (old.state <> ALL (ARRAY['completed'::task_state, 'failed'::task_state, 'cancelled'::task_state])) EXECUTE FUNCTION refuse_task_step();

CREATE TRIGGER tasks_forget AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_tasks();

CREATE TRIGGER tasks_forget_dependencies AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_dependencies();

CREATE TRIGGER tasks_forget_failures AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_failures();

CREATE TRIGGER tasks_forget_keys AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_keys();

CREATE TRIGGER tasks_forget_members AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_deleted_members();

CREATE TRIGGER tasks_free_holds AFTER UPDATE ON tasks FOR EACH ROW WHEN (old.lane IS NOT NULL AND old.host_id IS NOT NULL AND new.host_id IS NULL) EXECUTE FUNCTION free_holds();

CREATE TRIGGER tasks_record_new AFTER INSERT ON tasks REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION record_new_tasks();

CREATE TRIGGER tasks_record_steps AFTER UPDATE ON tasks REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION record_task_steps();

CREATE TRIGGER tasks_retry_drops_deadline BEFORE UPDATE ON tasks FOR EACH ROW WHEN (new.deadline <= now() AND (old.state = ANY (ARRAY['failed'::task_state, 'cancelled'::task_state])) AND (new.state <> ALL (ARRAY['failed'::task_state, 'cancelled'::task_state]))) EXECUTE FUNCTION drop_passed_deadline();

CREATE TRIGGER tasks_retry_waits BEFORE UPDATE ON tasks FOR EACH ROW WHEN ((old.state = ANY (ARRAY['failed'::task_state, 'cancelled'::task_state])) AND (new.state = ANY (ARRAY['pending'::task_state, 'scheduled'::task_state]))) EXECUTE FUNCTION retry_waits();

CREATE TRIGGER tasks_step BEFORE UPDATE ON tasks FOR EACH ROW WHEN (new.id <> old.id OR new.version <> (old.version + (new.state <> old.state)::integer) OR new.attempt <> (old.attempt + (old.state = 'pending'::task_state AND new.state = 'running'::task_state)::integer) OR new.state <> old.state AND NOT
        CASE old.state
            WHEN 'blocked'::task_state THEN new.state = ANY (ARRAY['pending'::task_state, 'scheduled'::task_state, 'cancelled'::task_state, 'failed'::task_state])
            WHEN 'scheduled'::task_state THEN new.state = ANY (ARRAY['pending'::task_state, 'cancelled'::task_state, 'failed'::task_state])
            WHEN 'pending'::task_state THEN new.state = ANY (ARRAY['running'::task_state, 'cancelled'::task_state, 'scheduled'::task_state, 'failed'::task_state])
            WHEN 'running'::task_state THEN new.state = ANY (ARRAY['awaiting_input'::task_state, 'completed'::task_state, 'scheduled'::task_state, 'failed'::task_state, 'pending'::task_state, 'cancelled'::task_state])
            WHEN 'awaiting_input'::task_state THEN new.state = ANY (ARRAY['running'::task_state, 'scheduled'::task_state, 'failed'::task_state, 'pending'::task_state, 'cancelled'::task_state])
            WHEN 'failed'::task_state THEN new.state = ANY (ARRAY['pending'::task_state, 'scheduled'::task_state, 'blocked'::task_state])
            WHEN 'cancelled'::task_state THEN new.state = ANY (ARRAY['pending'::task_state, 'scheduled'::task_state, 'blocked'::task_state])
            ELSE false
        END) EXECUTE FUNCTION refuse_task_step();

CREATE TRIGGER tasks_stop_waiting AFTER UPDATE ON tasks FOR EACH ROW WHEN (old.lane IS NOT NULL AND old.state = 'pending'::task_state AND new.state <> 'pending'::task_state) EXECUTE FUNCTION stop_waiting();

CREATE TRIGGER tasks_take_holds AFTER UPDATE ON tasks FOR EACH ROW WHEN (new.lane IS NOT NULL AND old.host_id IS NULL AND new.host_id IS NOT NULL) EXECUTE FUNCTION take_holds();

CREATE TRIGGER tasks_tell_dependents AFTER UPDATE ON tasks REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION tell_dependents();

CREATE TRIGGER tasks_update_members AFTER UPDATE ON tasks REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION record_task_moves();

CREATE SEQUENCE hostler.audit_number_seq MINVALUE 1 START 1;

CREATE SEQUENCE hostler.feed_position MINVALUE 1 START 1;

CREATE SEQUENCE hostler.log_lanes_id_seq MINVALUE 1 START 1;

CREATE SEQUENCE hostler.session_items MINVALUE 1 START 1;

CREATE SEQUENCE hostler.sessions_no_seq MINVALUE 1 START 1;

CREATE SEQUENCE hostler.task_tally_id_seq MINVALUE 1 START 1;

CREATE SEQUENCE hostler.wake_mark MINVALUE 0 START 0;

CREATE SEQUENCE hostler.webhook_deliveries_number_seq MINVALUE 1 START 1;

CREATE VIEW hostler.agent_overview (
    agent text,
    host text,
    host_kind text,
    running_tasks bigint,
    busy_since timestamp with time zone,
    oldest_task uuid
) AS ...;

CREATE VIEW hostler.dead_letters (
    task uuid,
    queue text,
    kind text,
    failed_at timestamp with time zone,
    failures integer,
    error_class failure_class,
    error text,
    error_detail jsonb,
    agent text,
    input jsonb,
    redrives integer,
    redriven_at timestamp with time zone,
    discarded_at timestamp with time zone,
    discard_reason text
) AS ...;

CREATE VIEW hostler.host_overview (
    host text,
    kind text,
    agent text,
    version text,
    started_at timestamp with time zone,
    lease_ends_at timestamp with time zone,
    is_alive boolean,
    running_tasks bigint
) AS ...;

CREATE VIEW hostler.log_records (
    id uuid,
    queue text,
    kind text,
    state task_state,
    input jsonb,
    output jsonb,
    attempt integer,
    max_attempts integer,
    timeout_ms bigint,
    host_id uuid,
    created_at timestamp with time zone,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    ended_host_id uuid,
    ended_agent text,
    lane integer,
    number bigint
) AS ...;

CREATE VIEW hostler.queue_overview (
    queue text,
    description text,
    paused boolean,
    paused_reason text,
    blocked bigint,
    scheduled bigint,
    pending bigint,
    running bigint,
    awaiting_input bigint,
    failed bigint,
    oldest_pending interval,
    paused_until timestamp with time zone
) AS ...;

CREATE VIEW hostler.running_tasks (
    task uuid,
    queue text,
    kind text,
    state task_state,
    attempt integer,
    host text,
    agent text,
    started_at timestamp with time zone,
    running_for interval,
    lease_ends_at timestamp with time zone,
    cancel_requested boolean,
    input jsonb
) AS ...;

CREATE VIEW hostler.task_overview (
    task uuid,
    task_id text,
    queue text,
    kind text,
    state task_state,
    priority smallint,
    attempts integer,
    failures integer,
    max_attempts integer,
    host text,
    agent text,
    last_error text,
    created_at timestamp with time zone,
    run_at timestamp with time zone,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    idempotency_key text,
    input jsonb,
    output jsonb,
    deadline timestamp with time zone
) AS ...;
