-- breaking: no
-- The first schema: hosts, queues, tasks, and what is kept of a task's attempts and events.
--
-- Everything is in the schema `hostler`, which exists before the first migration runs. Names are
-- written out with their schema, so that no search_path changes what a statement means.
--
-- The database refuses what src/domain/task.rs refuses: CHECKs tie columns to states, and the
-- triggers at the end hold the table of legal steps. No statement can get round them.

-- Which migrations have run, and whether an older host may still use the schema. The migration
-- library keeps its own table; a host adds a row here in the transaction of each migration.
CREATE TABLE hostler.schema_versions (
    version    integer     PRIMARY KEY,
    breaking   boolean     NOT NULL,
    reason     text,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_break_has_its_reason CHECK (NOT breaking OR reason IS NOT NULL)
);

-- In the order of a task's life.
CREATE TYPE hostler.task_state AS ENUM (
    'blocked', 'scheduled', 'pending', 'running', 'awaiting_input',
    'completed', 'failed', 'cancelled'
);

CREATE TYPE hostler.attempt_outcome AS ENUM ('completed', 'failed', 'released', 'cancelled');

CREATE TYPE hostler.failure_class AS ENUM (
    'exit', 'task', 'timeout', 'stale', 'spawn', 'protocol', 'host_lost', 'internal'
);

-- One row per data directory with a live host, renewed by its heartbeat. A start on the same data
-- directory puts its own id into the row. Few rows, updated often: room for updates in place.
CREATE TABLE hostler.hosts (
    id            uuid        PRIMARY KEY,
    slot          uuid        NOT NULL,
    name          text        NOT NULL,
    version       text        NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT now(),
    lease_ends_at timestamptz NOT NULL,
    CONSTRAINT hosts_one_per_slot UNIQUE (slot)
) WITH (fillfactor = 50);

CREATE TABLE hostler.queues (
    name          text        PRIMARY KEY,
    description   text        NOT NULL DEFAULT '',
    paused        boolean     NOT NULL DEFAULT false,
    paused_reason text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT name_is_plain CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    CONSTRAINT reason_only_while_paused CHECK (paused OR paused_reason IS NULL)
);

-- The hot table, kept narrow: inputs, results and attempts stand elsewhere. It has no foreign
-- keys: each would cost a lookup and a row lock for every row that is written. `queue` is checked
-- by the statement that submits; `host_id` by the ones that claim and take over.
CREATE TABLE hostler.tasks (
    id               uuid               PRIMARY KEY,
    queue            text               NOT NULL,
    kind             text               NOT NULL,
    state            hostler.task_state NOT NULL,
    priority         smallint           NOT NULL DEFAULT 0,
    attempt          integer            NOT NULL DEFAULT 0,
    failures         integer            NOT NULL DEFAULT 0,
    max_attempts     integer            NOT NULL,
    version          integer            NOT NULL DEFAULT 1,
    timeout_ms       bigint,
    created_at       timestamptz        NOT NULL DEFAULT now(),
    run_at           timestamptz        NOT NULL DEFAULT now(),
    finished_at      timestamptz,
    host_id          uuid,
    agent            text,
    started_at       timestamptz,
    cancel_requested boolean            NOT NULL DEFAULT false,
    idempotency_key  text,
    CONSTRAINT held_iff_a_host_holds_it CHECK (
        num_nonnulls(host_id, agent, started_at)
        = CASE WHEN state IN ('running', 'awaiting_input') THEN 3 ELSE 0 END
    ),
    CONSTRAINT held_under_a_number CHECK (
        attempt >= 1 OR state NOT IN ('running', 'awaiting_input', 'completed', 'failed')
    ),
    CONSTRAINT finished_iff_final CHECK (
        (state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)
    ),
    CONSTRAINT cancel_is_asked_of_a_holder CHECK (
        NOT cancel_requested OR state IN ('running', 'awaiting_input')
    ),
    CONSTRAINT counts_make_sense CHECK (
        attempt >= 0 AND failures >= 0 AND failures <= attempt
        AND max_attempts >= 1 AND version >= 1 AND timeout_ms > 0
    ),
    CONSTRAINT texts_are_short CHECK (
        length(kind) <= 255 AND length(idempotency_key) BETWEEN 1 AND 255
    )
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- What a claim reads: the tasks of one queue that can run now, in the order they should.
CREATE INDEX tasks_pending ON hostler.tasks (queue, priority DESC, id) INCLUDE (run_at)
    WHERE state = 'pending';
-- What waits for its time, in the order of the times.
CREATE INDEX tasks_scheduled ON hostler.tasks (run_at) WHERE state = 'scheduled';
-- What each host holds.
CREATE INDEX tasks_held ON hostler.tasks (host_id)
    WHERE state IN ('running', 'awaiting_input');
-- Listings newest first, and the depth of queues, whatever number of tasks has finished.
CREATE INDEX tasks_listed ON hostler.tasks (queue, state, id);
-- One task per key.
CREATE UNIQUE INDEX tasks_idempotency_key ON hostler.tasks (idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE hostler.task_inputs (
    task_id uuid  PRIMARY KEY,
    input   jsonb NOT NULL
);

CREATE TABLE hostler.task_results (
    task_id uuid  PRIMARY KEY,
    output  jsonb NOT NULL
);

-- One row per ended attempt, written when it ends.
CREATE TABLE hostler.attempts (
    task_id    uuid                    NOT NULL,
    attempt    integer                 NOT NULL,
    outcome    hostler.attempt_outcome NOT NULL,
    class      hostler.failure_class,
    message    text,
    detail     jsonb,
    reason     text,
    host_id    uuid                    NOT NULL,
    agent      text                    NOT NULL,
    started_at timestamptz             NOT NULL,
    ended_at   timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, attempt),
    CONSTRAINT attempt_is_numbered CHECK (attempt >= 1),
    CONSTRAINT failed_says_how CHECK (
        outcome <> 'failed' OR num_nonnulls(class, message, detail) = 3
    ),
    CONSTRAINT released_says_why CHECK (outcome <> 'released' OR reason IS NOT NULL)
);

-- What became of each task, step by step. `number` has no gap within a task: it is the version
-- that the task got by that step.
CREATE TABLE hostler.task_events (
    task_id uuid               NOT NULL,
    number  integer            NOT NULL,
    state   hostler.task_state NOT NULL,
    attempt integer            NOT NULL,
    at      timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, number)
);

-- Raises the error for a row that the triggers below found wrong.
CREATE FUNCTION hostler.refuse_task_step() RETURNS trigger
LANGUAGE plpgsql AS $$
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
$$;

CREATE TRIGGER tasks_begin BEFORE INSERT ON hostler.tasks FOR EACH ROW
WHEN (
    NEW.state NOT IN ('blocked', 'scheduled', 'pending') OR NEW.version <> 1 OR NEW.attempt <> 0
)
EXECUTE FUNCTION hostler.refuse_task_step();

-- The table of `step` in src/domain/task.rs, and the rules of the two counters. It stands in WHEN,
-- which the server evaluates by itself: the function is called for wrong rows alone.
CREATE TRIGGER tasks_step BEFORE UPDATE ON hostler.tasks FOR EACH ROW
WHEN (
    NEW.id <> OLD.id
    OR NEW.version <> OLD.version + (NEW.state <> OLD.state)::integer
    OR NEW.attempt <> OLD.attempt + (OLD.state = 'pending' AND NEW.state = 'running')::integer
    OR NEW.state <> OLD.state AND NOT CASE OLD.state
        WHEN 'blocked' THEN NEW.state IN ('pending', 'cancelled')
        WHEN 'scheduled' THEN NEW.state IN ('pending', 'cancelled')
        WHEN 'pending' THEN NEW.state IN ('running', 'cancelled')
        WHEN 'running' THEN NEW.state IN (
            'awaiting_input', 'completed', 'scheduled', 'failed', 'pending', 'cancelled')
        WHEN 'awaiting_input' THEN NEW.state IN (
            'running', 'scheduled', 'failed', 'pending', 'cancelled')
        WHEN 'failed' THEN NEW.state = 'pending'
        WHEN 'cancelled' THEN NEW.state = 'pending'
        ELSE false
    END
)
EXECUTE FUNCTION hostler.refuse_task_step();

CREATE TRIGGER tasks_end BEFORE DELETE ON hostler.tasks FOR EACH ROW
WHEN (OLD.state NOT IN ('completed', 'failed', 'cancelled'))
EXECUTE FUNCTION hostler.refuse_task_step();

-- The next three keep the other tables in step with `tasks`, once per statement, so that no
-- statement can forget it.
CREATE FUNCTION hostler.record_new_tasks() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hostler.task_events (task_id, number, state, attempt)
    SELECT id, version, state, attempt FROM made;
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_record_new AFTER INSERT ON hostler.tasks
REFERENCING NEW TABLE AS made FOR EACH STATEMENT
EXECUTE FUNCTION hostler.record_new_tasks();

-- Nested loops are off because the plan is made once, perhaps for a small batch, and kept.
CREATE FUNCTION hostler.record_task_steps() RETURNS trigger
LANGUAGE plpgsql SET enable_nestloop = off AS $$
BEGIN
    INSERT INTO hostler.task_events (task_id, number, state, attempt)
    SELECT after.id, after.version, after.state, after.attempt
    FROM after JOIN before USING (id)
    WHERE after.version <> before.version;
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_record_steps AFTER UPDATE ON hostler.tasks
REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT
EXECUTE FUNCTION hostler.record_task_steps();

CREATE FUNCTION hostler.forget_deleted_tasks() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM hostler.task_inputs USING gone WHERE task_id = gone.id;
    DELETE FROM hostler.task_results USING gone WHERE task_id = gone.id;
    DELETE FROM hostler.attempts USING gone WHERE task_id = gone.id;
    DELETE FROM hostler.task_events USING gone WHERE task_id = gone.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_forget AFTER DELETE ON hostler.tasks
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
EXECUTE FUNCTION hostler.forget_deleted_tasks();

-- Puts back what the given hosts hold, without counting a failure: to pending, or to cancelled
-- where somebody has asked for that. Used by every way in which a host can go. Being volatile it
-- looks with a snapshot of its own, taken after its caller has locked the rows of the hosts: what
-- a claim committed in the meantime is seen, and no later claim gets past the lock.
CREATE FUNCTION hostler.put_back(lost_hosts uuid[], why text)
RETURNS TABLE (
    put_back_task uuid, put_back_queue text, put_back_attempt integer,
    put_back_state hostler.task_state
)
LANGUAGE sql VOLATILE AS $$
    WITH held AS MATERIALIZED (
        SELECT id, host_id, agent, started_at
        FROM hostler.tasks
        WHERE state IN ('running', 'awaiting_input') AND host_id = ANY (lost_hosts)
        ORDER BY id
        FOR UPDATE
    ), returned AS (
        UPDATE hostler.tasks
        SET state = CASE WHEN tasks.cancel_requested THEN 'cancelled' ELSE 'pending' END
                ::hostler.task_state,
            finished_at = CASE WHEN tasks.cancel_requested THEN now() END,
            version = tasks.version + 1,
            host_id = NULL, agent = NULL, started_at = NULL, cancel_requested = false
        FROM held
        WHERE tasks.id = held.id
        RETURNING tasks.id, tasks.queue, tasks.attempt, tasks.state,
            held.host_id, held.agent, held.started_at
    ), history AS (
        INSERT INTO hostler.attempts
            (task_id, attempt, outcome, class, reason, host_id, agent, started_at)
        SELECT id, attempt, 'released', 'host_lost', why, host_id, agent, started_at
        FROM returned
    )
    SELECT id, queue, attempt, state FROM returned ORDER BY id
$$;
