-- breaking: yes, because plain tasks are kept in a log that older programs do not read
-- The log of plain tasks: those that ask for nothing but to be run once, in their order.
--
-- A plain task is one row that is never updated. Hosts claim ranges of a lane, by one row for a
-- whole range, and what ended is one more row each. So a claim costs the same whatever has finished,
-- whatever waits, and whatever old snapshot is held open: there are no dead rows to walk over. A
-- task that turns out to be more than plain (it failed, it was called off, its host is lost, another
-- task waits for it) moves into `tasks`, by `track`, and goes on there under the same id.

-- A lane is the stream of one queue's plain tasks from one data directory. Only the host on that
-- directory appends to it, so that its numbers are committed in their order. `head` is the newest.
CREATE TABLE hostler.log_lanes (
    id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slot  uuid    NOT NULL,
    queue text    NOT NULL,
    head  bigint  NOT NULL DEFAULT 0,
    CONSTRAINT log_lanes_one_per_slot UNIQUE (slot, queue)
) WITH (fillfactor = 10);

-- How far each lane has been claimed. Apart from `log_lanes`, so that a claim never waits for the
-- commit of a submit.
CREATE TABLE hostler.log_cursors (
    lane  integer PRIMARY KEY,
    queue text    NOT NULL,
    taken bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

CREATE TABLE hostler.log_tasks (
    lane         integer     NOT NULL,
    number       bigint      NOT NULL,
    id           uuid        NOT NULL,
    kind         text        NOT NULL,
    input        jsonb       NOT NULL,
    max_attempts integer     NOT NULL,
    timeout_ms   bigint,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lane, number),
    CONSTRAINT log_tasks_id UNIQUE (id),
    CONSTRAINT log_counts_make_sense CHECK (max_attempts >= 1 AND timeout_ms > 0),
    CONSTRAINT log_texts_are_short CHECK (length(kind) <= 255)
);

-- Which host runs which range, until all of it has ended: attempt 1 of each of its tasks.
CREATE TABLE hostler.log_claims (
    id         uuid        PRIMARY KEY,
    host_id    uuid        NOT NULL,
    lane       integer     NOT NULL,
    first      bigint      NOT NULL,
    last       bigint      NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT log_claims_are_ranges CHECK (first <= last)
);
CREATE INDEX log_claims_by_lane ON hostler.log_claims (lane, last);
CREATE INDEX log_claims_by_host ON hostler.log_claims (host_id);

-- How a plain task left the log: completed, or moved to `tasks`. The key is the fence: of two ends
-- of one task, from whatever host and however late, the first counts.
CREATE TABLE hostler.log_ends (
    lane       integer     NOT NULL,
    number     bigint      NOT NULL,
    moved      boolean     NOT NULL DEFAULT false,
    host_id    uuid,
    agent      text,
    started_at timestamptz,
    ended_at   timestamptz NOT NULL DEFAULT now(),
    output     jsonb,
    PRIMARY KEY (lane, number),
    CONSTRAINT completed_by_somebody CHECK (
        num_nonnulls(host_id, agent, started_at, output) = CASE WHEN moved THEN 0 ELSE 4 END
    )
);

-- The plain tasks as people and programs see them. What has moved is not here, but in `tasks`.
CREATE VIEW hostler.log_records AS
SELECT entry.id, lane.queue, entry.kind,
    CASE WHEN ended.number IS NOT NULL THEN 'completed'
        WHEN claim.id IS NOT NULL THEN 'running'
        ELSE 'pending'
    END::hostler.task_state AS state,
    entry.input, ended.output, (coalesce(ended.number, claim.first) IS NOT NULL)::integer AS attempt,
    entry.max_attempts, entry.timeout_ms, claim.host_id, entry.created_at,
    coalesce(ended.started_at, claim.claimed_at) AS started_at,
    ended.ended_at AS finished_at, ended.host_id AS ended_host_id, ended.agent AS ended_agent,
    entry.lane, entry.number
FROM hostler.log_tasks AS entry
JOIN hostler.log_lanes AS lane ON lane.id = entry.lane
LEFT JOIN hostler.log_ends AS ended
    ON ended.lane = entry.lane AND ended.number = entry.number
LEFT JOIN LATERAL (
    SELECT log_claims.id, log_claims.host_id, log_claims.claimed_at, log_claims.first
    FROM hostler.log_claims
    WHERE log_claims.lane = entry.lane AND log_claims.last >= entry.number
        AND log_claims.first <= entry.number
    LIMIT 1
) AS claim ON ended.number IS NULL
WHERE ended.moved IS NOT TRUE;

-- The first event of a task is as old as the task, and an attempt begins when it was begun: both
-- may be told later, by `track`.
CREATE OR REPLACE FUNCTION hostler.record_new_tasks() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hostler.task_events (task_id, number, state, attempt, at)
    SELECT id, version, state, attempt, created_at FROM made;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION hostler.record_task_steps() RETURNS trigger
LANGUAGE plpgsql SET enable_nestloop = off AS $$
BEGIN
    INSERT INTO hostler.task_events (task_id, number, state, attempt, at)
    SELECT after.id, after.version, after.state, after.attempt,
        CASE WHEN before.state = 'pending' THEN coalesce(after.started_at, now()) ELSE now() END
    FROM after JOIN before USING (id)
    WHERE after.version <> before.version;
    RETURN NULL;
END
$$;

-- Moves plain tasks that have not ended into `tasks`, and returns how many: those that wait as
-- pending, those that a host has claimed as running there, in the hands of agents (or `unknown`,
-- where nobody says). Ids that are no plain tasks, or that have left the log, are passed over. The
-- locks are taken in the order of lanes and numbers, cursors first, as by everybody.
CREATE FUNCTION hostler.track(ids uuid[], agents text[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
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
$$;

-- Moves what these hosts hold of the log, but for what is kept, and ends their claims if that is all.
CREATE FUNCTION hostler.track_claimed(lost_hosts uuid[], keep uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
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
$$;

-- As in 0001, for what a host holds of the log too.
CREATE OR REPLACE FUNCTION hostler.put_back(lost_hosts uuid[], why text, keep uuid[] DEFAULT '{}')
RETURNS TABLE (
    put_back_task uuid, put_back_queue text, put_back_attempt integer,
    put_back_state hostler.task_state
)
LANGUAGE sql VOLATILE AS $$
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
$$;

COMMENT ON TABLE hostler.log_lanes IS 'The streams of plain tasks: one for each queue and data directory, and the number of its newest task.';
COMMENT ON TABLE hostler.log_cursors IS 'How far each lane has been claimed.';
COMMENT ON TABLE hostler.log_tasks IS 'One row a plain task, which is never changed.';
COMMENT ON TABLE hostler.log_claims IS 'Which host runs which range of a lane, until all of it has ended.';
COMMENT ON TABLE hostler.log_ends IS 'How each plain task left the log: completed, or moved to tasks.';
COMMENT ON SEQUENCE hostler.log_lanes_id_seq IS 'The numbers of lanes.';
COMMENT ON VIEW hostler.log_records IS 'The plain tasks, and where they are. What has moved is in tasks.';
COMMENT ON FUNCTION hostler.track(uuid[], text[]) IS 'Moves plain tasks that have not ended into tasks, and returns how many.';
COMMENT ON FUNCTION hostler.track_claimed(uuid[], uuid[]) IS 'Moves what these hosts hold of the log into tasks, but for what is kept.';
