-- breaking: yes, because tasks that need locks would be claimed without them
-- What tasks need for themselves while they run (locks, files, keys), who holds what, and what is
-- limited. See src/domain/admission.rs, and docs/decisions/0024-admission.md.

-- How a task needs something: a lock alone or shared, files to write or to read, one of what a key
-- has.
CREATE TYPE hostler.need_kind AS ENUM ('exclusive', 'shared', 'write', 'read', 'key');

-- Tasks of a queue with the same needs have the same lane; those that need nothing have none. A
-- claim of tasks without a lane is what it was: it looks at them alone.
ALTER TABLE hostler.tasks ADD COLUMN lane bigint;

DROP INDEX hostler.tasks_pending;
-- What a claim reads: the tasks of one queue that can run now, in the order they should.
CREATE INDEX tasks_pending ON hostler.tasks (queue, priority DESC, id) INCLUDE (run_at)
    WHERE state = 'pending' AND lane IS NULL;
-- The same for the tasks that need something: in the order they should run, and lane by lane, so
-- that a long line in front of one lock does not hide who stands behind it.
CREATE INDEX tasks_needing ON hostler.tasks (queue, priority DESC, id) INCLUDE (run_at)
    WHERE state = 'pending' AND lane IS NOT NULL;
CREATE INDEX tasks_lanes ON hostler.tasks (queue, lane, priority DESC, id)
    WHERE state = 'pending' AND lane IS NOT NULL;

-- What a task needs, from its submit until it is deleted. `name` is that of a lock or a key, or a
-- pattern of files.
CREATE TABLE hostler.task_needs (
    task_id uuid              NOT NULL,
    kind    hostler.need_kind NOT NULL,
    name    text              NOT NULL,
    PRIMARY KEY (task_id, kind, name)
);

-- What running tasks hold. Written by triggers alone: a claim takes, and whatever ends an attempt
-- frees. Few rows, that come and go quickly.
CREATE TABLE hostler.task_holds (
    task_id uuid              NOT NULL,
    kind    hostler.need_kind NOT NULL,
    name    text              NOT NULL,
    queue   text              NOT NULL,
    since   timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, kind, name)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
-- The claim sees to it that no lock is held twice; this refuses it whoever claims.
CREATE UNIQUE INDEX task_holds_exclusive ON hostler.task_holds (name) WHERE kind = 'exclusive';

-- Tasks that were passed over, though an agent was there for them, because others hold what they
-- need: since when, and how long that counts if nobody says it again. Lost in a crash of the
-- server, and then they wait a little longer.
CREATE UNLOGGED TABLE hostler.task_waits (
    task_id uuid        PRIMARY KEY,
    since   timestamptz NOT NULL DEFAULT now(),
    until   timestamptz NOT NULL
);
CREATE INDEX task_waits_since ON hostler.task_waits (since, task_id);

-- Each row of these two is for a task that needs something: the WHEN of the trigger, which the
-- server evaluates by itself, lets all others pass.
CREATE FUNCTION hostler.take_holds() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hostler.task_holds (task_id, kind, name, queue, since)
    SELECT task_id, kind, name, NEW.queue, NEW.started_at
    FROM hostler.task_needs
    WHERE task_id = NEW.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_take_holds AFTER UPDATE ON hostler.tasks FOR EACH ROW
WHEN (NEW.lane IS NOT NULL AND OLD.host_id IS NULL AND NEW.host_id IS NOT NULL)
EXECUTE FUNCTION hostler.take_holds();

CREATE FUNCTION hostler.free_holds() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM hostler.task_holds WHERE task_id = OLD.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_free_holds AFTER UPDATE ON hostler.tasks FOR EACH ROW
WHEN (OLD.lane IS NOT NULL AND OLD.host_id IS NOT NULL AND NEW.host_id IS NULL)
EXECUTE FUNCTION hostler.free_holds();

CREATE FUNCTION hostler.stop_waiting() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM hostler.task_waits WHERE task_id = OLD.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_stop_waiting AFTER UPDATE ON hostler.tasks FOR EACH ROW
WHEN (OLD.lane IS NOT NULL AND OLD.state = 'pending' AND NEW.state <> 'pending')
EXECUTE FUNCTION hostler.stop_waiting();

CREATE OR REPLACE FUNCTION hostler.forget_deleted_tasks() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM hostler.task_inputs WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    DELETE FROM hostler.task_results WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    DELETE FROM hostler.attempts WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    DELETE FROM hostler.task_events WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    DELETE FROM hostler.task_needs WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    RETURN NULL;
END
$$;

-- What is limited. All hosts go by these rows; the config file of the host that started last wrote
-- them, or an operator since.
ALTER TABLE hostler.queues
    ADD COLUMN paused_until    timestamptz,
    ADD COLUMN concurrency     integer,
    ADD COLUMN rate_count      integer,
    ADD COLUMN rate_per_ms     bigint,
    ADD COLUMN key_concurrency integer,
    ADD COLUMN key_rate_count  integer,
    ADD COLUMN key_rate_per_ms bigint,
    ADD COLUMN weight          integer NOT NULL DEFAULT 1,
    ADD COLUMN fair            boolean NOT NULL DEFAULT false,
    -- What the config file said of the limits when it was last heard: as long as it says the same,
    -- what an operator changed stays.
    ADD COLUMN configured      jsonb,
    -- Its tasks without a lane can't be claimed without a look at what else runs.
    ADD COLUMN limited         boolean NOT NULL GENERATED ALWAYS AS (
        concurrency IS NOT NULL OR rate_count IS NOT NULL OR weight <> 1 OR fair
    ) STORED,
    ADD CONSTRAINT until_only_while_paused CHECK (paused OR paused_until IS NULL),
    ADD CONSTRAINT limits_make_sense CHECK (
        concurrency >= 0 AND rate_count >= 1 AND rate_per_ms >= 1
        AND key_concurrency >= 0 AND key_rate_count >= 1 AND key_rate_per_ms >= 1
        AND weight BETWEEN 1 AND 1000
    ),
    ADD CONSTRAINT rates_are_whole CHECK (
        (rate_count IS NULL) = (rate_per_ms IS NULL)
        AND (key_rate_count IS NULL) = (key_rate_per_ms IS NULL)
    );

CREATE TYPE hostler.limit_scope AS ENUM ('all', 'fleet', 'key');

-- Limits that are no queue's: of all tasks (`name` is empty), of a fleet, of each key that a
-- pattern means.
CREATE TABLE hostler.limits (
    scope       hostler.limit_scope NOT NULL,
    name        text                NOT NULL,
    concurrency integer,
    rate_count  integer,
    rate_per_ms bigint,
    -- As that of `queues`; none where no config file speaks of it.
    configured  jsonb,
    limited     boolean NOT NULL GENERATED ALWAYS AS (
        concurrency IS NOT NULL OR rate_count IS NOT NULL
    ) STORED,
    PRIMARY KEY (scope, name),
    CONSTRAINT all_has_no_name CHECK ((scope = 'all') = (name = '')),
    CONSTRAINT rate_is_whole CHECK ((rate_count IS NULL) = (rate_per_ms IS NULL)),
    CONSTRAINT limits_make_sense CHECK (
        concurrency >= 0 AND rate_count >= 1 AND rate_per_ms >= 1
    )
);

-- Keys whose tasks are held back.
CREATE TABLE hostler.key_pauses (
    pattern text        PRIMARY KEY,
    reason  text,
    since   timestamptz NOT NULL DEFAULT now(),
    until   timestamptz,
    CONSTRAINT pattern_is_short CHECK (length(pattern) BETWEEN 1 AND 255)
);

-- How many attempts began, where a rate counts them: what is older than the window is deleted by
-- whoever writes next. `scope` is as src/domain/admission/limits.rs prints it.
CREATE TABLE hostler.rate_starts (
    scope text        NOT NULL,
    at    timestamptz NOT NULL,
    count integer     NOT NULL,
    PRIMARY KEY (scope, at)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

-- The queues among `wanted`, of all if null, of which a task without a lane can be claimed without
-- a look at what else runs: for claims in SQL. They take no turns, so weights don't concern them.
CREATE FUNCTION hostler.plainly_claimable(wanted text[]) RETURNS text[]
LANGUAGE sql STABLE AS $$
    SELECT ARRAY(
        SELECT name
        FROM hostler.queues
        WHERE (wanted IS NULL OR name = ANY (wanted))
            AND concurrency IS NULL AND rate_count IS NULL
            AND (NOT paused OR paused_until <= now())
            AND NOT EXISTS (SELECT FROM hostler.limits WHERE limits.limited AND limits.scope = 'all')
    )
$$;

-- As they were, but that they leave tasks that need something, and what is limited.
CREATE OR REPLACE FUNCTION hostler.track_next(queues text[]) RETURNS uuid
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    next record;
    ahead boolean;
BEGIN
    SELECT log_cursors.lane, log_cursors.queue, waiting.number, waiting.id INTO next
    FROM hostler.log_cursors
    JOIN hostler.log_lanes ON log_lanes.id = log_cursors.lane
    JOIN hostler.queues ON queues.name = log_cursors.queue
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
    WHERE log_lanes.head > log_cursors.taken
        AND queues.name = ANY (hostler.plainly_claimable(track_next.queues))
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
$$;

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

-- Moves plain tasks of queues from the log into `tasks`, so that a choice finds them there: of each of
-- the queues as many as are lacking to `most` that wait there. Returns how many. Like a claim of a
-- range it takes the host's row first, then the cursors in their order, and moves them on.
CREATE FUNCTION hostler.divert(for_host uuid, wanted text[], most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
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
            least(log_lanes.head, log_cursors.taken + divert.most - (
                SELECT count(*)
                FROM (
                    SELECT FROM hostler.tasks
                    WHERE tasks.queue = log_cursors.queue AND tasks.state = 'pending'
                        AND tasks.lane IS NULL
                    LIMIT divert.most
                ) AS there
            )) AS upto
        FROM hostler.log_cursors
        JOIN hostler.log_lanes ON log_lanes.id = log_cursors.lane
        WHERE log_cursors.queue = ANY (wanted) AND log_lanes.head > log_cursors.taken
        ORDER BY log_cursors.lane
        FOR UPDATE OF log_cursors
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
$$;

COMMENT ON FUNCTION hostler.divert(uuid, text[], integer) IS 'Internal: moves plain tasks of limited queues from the log into tasks.';
COMMENT ON TABLE hostler.task_needs IS 'What tasks need for themselves while they run: locks, files, keys.';
COMMENT ON TABLE hostler.task_holds IS 'What running tasks hold. Written by triggers.';
COMMENT ON TABLE hostler.task_waits IS 'Tasks that were passed over because others hold what they need, and until when that counts.';
COMMENT ON TABLE hostler.limits IS 'Limits of everything, of fleets and of keys. Those of queues are in queues.';
COMMENT ON TABLE hostler.key_pauses IS 'Keys whose tasks are held back.';
COMMENT ON TABLE hostler.rate_starts IS 'How many attempts began lately, under what is limited by a rate.';
COMMENT ON FUNCTION hostler.take_holds() IS 'Internal: writes down what a task holds that begins.';
COMMENT ON FUNCTION hostler.free_holds() IS 'Internal: frees what a task held whose attempt ends.';
COMMENT ON FUNCTION hostler.stop_waiting() IS 'Internal: a task that is not pending any more waits for nothing.';
COMMENT ON FUNCTION hostler.plainly_claimable(text[]) IS 'Internal: queues of which claim_task may give a task.';
