-- breaking: no
-- Tasks that belong together: groups, which are counted, and batches, which end together and then
-- call back. And what became of failed tasks: dead letters.

-- What a task is part of. Few tasks are part of anything: those have no row.
CREATE TABLE hostler.task_members (
    task_id    uuid PRIMARY KEY,
    group_name text COLLATE "C",
    batch_id   uuid,
    CONSTRAINT member_of_something CHECK (num_nonnulls(group_name, batch_id) > 0),
    CONSTRAINT group_name_is_plain CHECK (group_name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$')
);
CREATE INDEX task_members_by_group ON hostler.task_members (group_name, task_id)
    WHERE group_name IS NOT NULL;
CREATE INDEX task_members_by_batch ON hostler.task_members (batch_id, task_id)
    WHERE batch_id IS NOT NULL;

-- How many tasks of a group or a batch are in each state: the sum of the rows of that scope and
-- state. There are several so that nobody waits for a count: whoever finds all of them locked adds
-- one more. So there are no more of them than there ever were writers at the same time.
CREATE TABLE hostler.task_tally (
    id       bigint             GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- `group NAME` or `batch UUID`.
    scope    text COLLATE "C"   NOT NULL,
    state    hostler.task_state NOT NULL,
    tasks    bigint             NOT NULL,
    -- When a task came to the state, for the first time and most lately.
    first_at timestamptz,
    last_at  timestamptz
) WITH (fillfactor = 50);
CREATE INDEX task_tally_by_scope ON hostler.task_tally (scope, state);

-- Several tasks that end together. `total` counts those that were added, the others those that
-- ended so; a member that is tried again by hand counts as open again, but what is done stays done.
CREATE TABLE hostler.batches (
    id              uuid        PRIMARY KEY,
    created_at      timestamptz NOT NULL DEFAULT now(),
    -- No tasks are added any more.
    closed_at       timestamptz,
    -- Somebody called it off.
    cancelled_at    timestamptz,
    -- It was closed and all of its tasks had ended. Set by a trigger, once.
    done_at         timestamptz,
    total           integer     NOT NULL DEFAULT 0,
    completed       integer     NOT NULL DEFAULT 0,
    failed          integer     NOT NULL DEFAULT 0,
    cancelled       integer     NOT NULL DEFAULT 0,
    idempotency_key text,
    CONSTRAINT batch_counts_make_sense CHECK (
        least(completed, failed, cancelled) >= 0 AND completed + failed + cancelled <= total
    ),
    CONSTRAINT batch_is_closed_first CHECK (
        closed_at IS NOT NULL OR num_nonnulls(cancelled_at, done_at) = 0
    ),
    CONSTRAINT batch_key_is_short CHECK (length(idempotency_key) BETWEEN 1 AND 255)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX batches_idempotency_key ON hostler.batches (idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TYPE hostler.batch_end AS ENUM ('complete', 'success', 'failure');

-- The tasks that are submitted once a batch is done: `complete` however it ended, `success` if all
-- of its tasks are completed, else `failure`. `task_id` is the one that was.
CREATE TABLE hostler.batch_callbacks (
    batch_id     uuid              NOT NULL,
    on_end       hostler.batch_end NOT NULL,
    queue        text              NOT NULL,
    kind         text              NOT NULL,
    input        jsonb             NOT NULL,
    priority     smallint          NOT NULL,
    max_attempts integer           NOT NULL,
    timeout_ms   bigint,
    task_id      uuid,
    PRIMARY KEY (batch_id, on_end),
    CONSTRAINT callback_makes_sense CHECK (
        max_attempts >= 1 AND timeout_ms > 0 AND length(kind) <= 255
        AND jsonb_typeof(input) = 'object'
    )
);

-- What people did about a failed task: how often it was given another try, and that it was given up.
-- A failed task about which nobody did anything has no row.
CREATE TABLE hostler.dead_letter_notes (
    task_id        uuid    PRIMARY KEY,
    redrives       integer NOT NULL DEFAULT 0,
    redriven_at    timestamptz,
    discarded_at   timestamptz,
    discard_reason text,
    CONSTRAINT redrives_are_dated CHECK (redrives >= 0 AND (redrives > 0) = (redriven_at IS NOT NULL)),
    CONSTRAINT discarded_with_a_reason CHECK (
        (discarded_at IS NULL) = (discard_reason IS NULL) AND length(discard_reason) <= 1000
    )
);

-- Adds to a count, and waits for nobody.
CREATE FUNCTION hostler.add_to_tally(
    of_scope text, of_state hostler.task_state, change bigint
) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
$$;

-- Counts members: each was in one state and is in another; null is neither. Batches are locked
-- last, in the order of their ids, and only where a task ended, began again, or came: whoever
-- changes tasks locks tasks first and batches then, so that nobody waits in a circle.
CREATE FUNCTION hostler.count_members(
    groups text[], of_batches uuid[], old_states hostler.task_state[],
    new_states hostler.task_state[]
) RETURNS void
LANGUAGE plpgsql SET enable_nestloop = on SET enable_seqscan = off AS $$
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
$$;

-- Tells that tasks, in the order of their ids and each once, went from one state to another: what
-- they are part of counts them anew, and a batch whose last task this was calls back. For the tasks
-- in `tasks` a trigger does it; whoever keeps tasks elsewhere calls it in the transaction of the step.
CREATE FUNCTION hostler.members_moved(
    moved uuid[], old_states hostler.task_state[], new_states hostler.task_state[]
) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
$$;

-- Nested loops are off because the plan is made once, perhaps for a small batch, and kept.
CREATE FUNCTION hostler.record_task_moves() RETURNS trigger
LANGUAGE plpgsql SET enable_nestloop = off AS $$
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
$$;

-- Triggers go by their names: this one comes after `tasks_tell_dependents`, because batches are locked
-- after tasks, also those that an end cancels or lets go.
CREATE TRIGGER tasks_update_members AFTER UPDATE ON hostler.tasks
REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT
EXECUTE FUNCTION hostler.record_task_moves();

-- Counts who came. A task that is not in `tasks` waits somewhere else.
CREATE FUNCTION hostler.count_new_members() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
$$;

CREATE TRIGGER task_members_count_new AFTER INSERT ON hostler.task_members
REFERENCING NEW TABLE AS joined FOR EACH STATEMENT
EXECUTE FUNCTION hostler.count_new_members();

-- A batch is done once it is closed and all of its tasks have ended; nothing is added to one that is
-- closed. The row is locked by whoever changes it: of two last ends at the same time the second
-- waits for the first, and sees it.
CREATE FUNCTION hostler.close_done_batch() RETURNS trigger
LANGUAGE plpgsql AS $$
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
$$;

CREATE TRIGGER batches_done BEFORE UPDATE ON hostler.batches FOR EACH ROW
EXECUTE FUNCTION hostler.close_done_batch();

-- How the API writes the ids of tasks.
CREATE FUNCTION hostler.shown_ids(ids uuid[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_agg('tsk_' || replace(id::text, '-', '')), '[]') FROM unnest(ids) AS given (id)
$$;

-- What a callback finds as `batch` in its input: the counts, and the ids of the first ten thousand
-- tasks by how they ended.
CREATE FUNCTION hostler.batch_summary(done hostler.batches) RETURNS jsonb
LANGUAGE sql STABLE SET enable_seqscan = off AS $$
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
$$;

-- Submits the callbacks of a batch that is done, in the transaction that made it so, each once. The
-- NOTIFY is no burden: there is one for each end of a batch.
CREATE FUNCTION hostler.call_back() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
$$;

CREATE TRIGGER batches_call_back AFTER UPDATE ON hostler.batches FOR EACH ROW
WHEN (OLD.done_at IS NULL AND NEW.done_at IS NOT NULL)
EXECUTE FUNCTION hostler.call_back();

-- Forgets what deleted tasks were part of. A batch goes with the last of its tasks, and so do the
-- counts of a group, as far as nobody else has them in hand.
CREATE FUNCTION hostler.forget_deleted_members() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
$$;

CREATE TRIGGER tasks_forget_members AFTER DELETE ON hostler.tasks
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
EXECUTE FUNCTION hostler.forget_deleted_members();

-- What a task failed of: its newest failed attempt, unless it was its deadline.
CREATE FUNCTION hostler.newest_failure(wanted uuid) RETURNS hostler.failure_class
LANGUAGE sql STABLE AS $$
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
$$;

-- Locks tasks that are called off together, and those that depend on them, in the order of the head
-- of 0010_graphs.sql, each time all that the triggers will need. What has ended is left alone: who
-- tries it again holds it, and then what it depends on. Returns those of the tasks that it locked;
-- one that came to another state in the meantime may not be among them.
CREATE FUNCTION hostler.lock_connected(wanted uuid[]) RETURNS uuid[]
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    touched uuid[] := wanted;
    free uuid[];
    blocked uuid[];
BEGIN
    free := ARRAY(
        SELECT id FROM hostler.tasks
        WHERE id = ANY (wanted) AND state NOT IN ('blocked', 'completed', 'failed', 'cancelled')
        ORDER BY id
        FOR NO KEY UPDATE
    );
    IF EXISTS (SELECT FROM hostler.dependencies WHERE depends_on = ANY (wanted)) THEN
        touched := touched || hostler.doomed_by(wanted);
        touched := touched || ARRAY(
            SELECT blocked_task
            FROM unnest(touched) AS one (id) CROSS JOIN LATERAL hostler.blocked_by(one.id)
        );
    END IF;
    blocked := ARRAY(
        SELECT id FROM hostler.tasks
        WHERE id = ANY (touched) AND state IS NOT DISTINCT FROM 'blocked'
        ORDER BY id
        FOR NO KEY UPDATE
    );
    RETURN ARRAY(
        SELECT unnest(free || blocked) INTERSECT SELECT unnest(wanted)
    );
END
$$;

-- The view of failed tasks shows what was done about them, too.
CREATE OR REPLACE VIEW hostler.dead_letters AS
SELECT tasks.id AS task, tasks.queue, tasks.kind, tasks.finished_at AS failed_at, tasks.failures,
    coalesce(late.class, failure.class) AS error_class,
    coalesce(late.message, failure.message) AS error,
    coalesce(late.detail, failure.detail) AS error_detail,
    failure.agent, task_inputs.input, coalesce(note.redrives, 0) AS redrives, note.redriven_at,
    note.discarded_at, note.discard_reason
FROM hostler.tasks
LEFT JOIN hostler.task_inputs ON task_inputs.task_id = tasks.id
LEFT JOIN hostler.dead_letter_notes AS note ON note.task_id = tasks.id
LEFT JOIN hostler.task_failures AS late
    ON late.task_id = tasks.id AND late.attempt = tasks.attempt
LEFT JOIN LATERAL (
    SELECT attempts.class, attempts.message, attempts.detail, attempts.agent
    FROM hostler.attempts
    WHERE attempts.task_id = tasks.id AND attempts.outcome = 'failed'
    ORDER BY attempts.attempt DESC
    LIMIT 1
) AS failure ON true
WHERE tasks.state = 'failed';

COMMENT ON TABLE hostler.task_members IS 'The tasks that are in a group or a batch.';
COMMENT ON TABLE hostler.task_tally IS 'How many tasks of a group or a batch are in each state: the sum of the rows.';
COMMENT ON SEQUENCE hostler.task_tally_id_seq IS 'Internal: numbers the rows of task_tally.';
COMMENT ON TABLE hostler.batches IS 'Tasks that end together and then call back.';
COMMENT ON TABLE hostler.batch_callbacks IS 'The tasks that are submitted once a batch is done.';
COMMENT ON TABLE hostler.dead_letter_notes IS 'What people did about failed tasks: redrives and discards.';
COMMENT ON FUNCTION hostler.add_to_tally(text, hostler.task_state, bigint) IS 'Internal: adds to a count and waits for nobody.';
COMMENT ON FUNCTION hostler.count_members(text[], uuid[], hostler.task_state[], hostler.task_state[]) IS 'Internal: counts members of groups and batches that came to other states.';
COMMENT ON FUNCTION hostler.members_moved(uuid[], hostler.task_state[], hostler.task_state[]) IS 'Internal: tells that tasks, sorted, came from these states to those; for tasks that are not in the table tasks.';
COMMENT ON FUNCTION hostler.record_task_moves() IS 'Internal: counts the members among changed tasks, and redrives.';
COMMENT ON FUNCTION hostler.count_new_members() IS 'Internal: counts new members.';
COMMENT ON FUNCTION hostler.close_done_batch() IS 'Internal: notes that a batch is done, and keeps a closed one closed.';
COMMENT ON FUNCTION hostler.shown_ids(uuid[]) IS 'Internal: ids of tasks as the API writes them.';
COMMENT ON FUNCTION hostler.batch_summary(hostler.batches) IS 'Internal: what a callback finds as `batch` in its input.';
COMMENT ON FUNCTION hostler.call_back() IS 'Internal: submits the callbacks of a batch that is done.';
COMMENT ON FUNCTION hostler.forget_deleted_members() IS 'Internal: forgets what deleted tasks were part of.';
COMMENT ON FUNCTION hostler.newest_failure(uuid) IS 'Internal: the class of the newest failure of a task.';
COMMENT ON FUNCTION hostler.lock_connected(uuid[]) IS 'Internal: locks tasks that are called off together, and those that depend on them.';
