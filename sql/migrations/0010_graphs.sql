-- breaking: no
-- Graphs: tasks that wait for other tasks.
--
-- A dependency always has a smaller id than the task that waits for it (a CHECK), so there is no
-- circle, and one order for locks that every transaction can keep:
--
--   1. tasks that are not blocked (in the order of ids, or only one),
--   2. then blocked tasks, in the order of their ids, each time all that will be needed at once.
--
-- Whoever makes a task wait for another, or counts anew what it waits for, holds a share lock on
-- the other until it commits; whoever ends the other holds its row. So none of the two can miss
-- the other, and the counters below are exact under READ COMMITTED. Under stricter isolation the
-- row of the counter makes one of two such transactions fail, and nothing is missed either.

-- What becomes of a task when one that it depends on fails or is cancelled.
CREATE TYPE hostler.dependency_policy AS ENUM ('cancel', 'run', 'hold');

-- One row per task that depends on others.
CREATE TABLE hostler.dependents (
    task_id    uuid                      PRIMARY KEY,
    policy     hostler.dependency_policy NOT NULL,
    -- How many dependencies it still waits for. It has a meaning only while the task is blocked.
    open       integer                   NOT NULL,
    -- Whether its input is a template over the results of its dependencies.
    template   boolean                   NOT NULL DEFAULT false,
    -- Cancelled for a dependency: for which, and which task's end began it.
    stopped_by uuid,
    cause      uuid,
    CONSTRAINT open_is_a_count CHECK (open >= 0)
) WITH (fillfactor = 80);

-- One row per dependency of a task, in the order that the submit gave them.
CREATE TABLE hostler.dependencies (
    task_id    uuid    NOT NULL,
    place      integer NOT NULL,
    depends_on uuid    NOT NULL,
    -- What the task calls it: the name that its submit gave it, or its id.
    name       text    NOT NULL,
    -- Whether the input needs its result.
    used       boolean NOT NULL DEFAULT false,
    -- An operator let the task go on without it.
    waived     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (task_id, place),
    CONSTRAINT a_dependency_is_older CHECK (depends_on < task_id),
    CONSTRAINT name_is_short CHECK (length(name) BETWEEN 1 AND 64)
);

-- What an ended task is looked for in: one probe each.
CREATE INDEX dependencies_on ON hostler.dependencies (depends_on, task_id);

-- The table of `weigh` in src/domain/graph.rs.
CREATE FUNCTION hostler.dependency_is_done(
    policy hostler.dependency_policy, state hostler.task_state
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT state = 'completed' OR (policy = 'run' AND state IN ('failed', 'cancelled'))
$$;

-- Whether a dependency in this state holds nobody up for ever: it may still be done, or it is. One
-- that is gone, and so has no state, does.
CREATE FUNCTION hostler.is_hopeful(
    policy hostler.dependency_policy, state hostler.task_state
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT state IS NOT NULL
        AND (state NOT IN ('failed', 'cancelled') OR hostler.dependency_is_done(policy, state))
$$;

-- In the functions below every plan begins with a list of ids and finds all else by an index, row by
-- row, so that a plan made for an empty table is as good for a full one: OFFSET 0 and subqueries keep
-- the planner from beginning elsewhere, and IS NOT DISTINCT FROM hides a state from the indexes. Joins
-- are nested loops; only functions that fire no trigger may set that.

-- Where a dependency is: in `tasks`, or completed in the log of plain tasks, which leave that for
-- `tasks` when another comes to depend on them before. Null if it is gone.
CREATE FUNCTION hostler.dependency_state(wanted uuid) RETURNS hostler.task_state
LANGUAGE sql STABLE AS $$
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
$$;

-- Locks dependencies against their end, in the order of the head of this file.
CREATE FUNCTION hostler.lock_dependencies(wanted uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
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
$$;

-- Counts what each of these tasks still waits for. Its caller has locked either the tasks or their
-- dependencies.
CREATE FUNCTION hostler.count_open(waiting uuid[]) RETURNS void
LANGUAGE sql VOLATILE AS $$
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
$$;

-- Lets blocked tasks go on. Their time may still be to come.
CREATE FUNCTION hostler.unblock(ready uuid[]) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE hostler.tasks
    SET state = CASE WHEN run_at > now() THEN 'scheduled' ELSE 'pending' END::hostler.task_state,
        run_at = greatest(run_at, now()), version = version + 1
    WHERE id = ANY (ready) AND state IS NOT DISTINCT FROM 'blocked'
$$;

-- The blocked tasks that depend on one task, and what becomes of them should it end badly. Its
-- callers see it as a part of their own statements.
CREATE FUNCTION hostler.blocked_by(ended uuid)
RETURNS TABLE (blocked_task uuid, blocked_policy hostler.dependency_policy)
LANGUAGE sql STABLE ROWS 10 AS $$
    SELECT dependencies.task_id,
        (SELECT policy FROM hostler.dependents WHERE dependents.task_id = dependencies.task_id)
    FROM hostler.dependencies
    WHERE dependencies.depends_on = ended AND NOT dependencies.waived
        AND (SELECT state FROM hostler.tasks WHERE tasks.id = dependencies.task_id) = 'blocked'
    OFFSET 0
$$;

-- The blocked tasks that are cancelled when the given ones end badly: those that depend on them
-- and would be cancelled for it, those that depend on these, and so on.
CREATE FUNCTION hostler.doomed_by(bad uuid[]) RETURNS uuid[]
LANGUAGE sql VOLATILE SET enable_hashjoin = off SET enable_mergejoin = off AS $$
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
$$;

-- Locks the blocked tasks that depend on the given ones, and returns them.
CREATE FUNCTION hostler.lock_dependents(ended uuid[]) RETURNS uuid[]
LANGUAGE plpgsql SET enable_hashjoin = off SET enable_mergejoin = off AS $$
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
$$;

-- Writes down for what tasks were cancelled: `bad` is what ended badly.
CREATE FUNCTION hostler.note_causes(doomed uuid[], bad uuid[]) RETURNS void
LANGUAGE plpgsql SET enable_hashjoin = off SET enable_mergejoin = off AS $$
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
$$;

-- Cancels blocked tasks, for `bad`, which ended badly.
CREATE FUNCTION hostler.cancel_dependents(doomed uuid[], bad uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hostler.tasks
    SET state = 'cancelled', version = version + 1, finished_at = now()
    WHERE id = ANY (doomed) AND state IS NOT DISTINCT FROM 'blocked';
    PERFORM hostler.note_causes(doomed, bad);
END
$$;

-- Counts down what waits for `ended`, which came to the states `became`. Returns the tasks that now
-- wait for nothing. Their rows are locked.
CREATE FUNCTION hostler.close_dependencies(ended uuid[], became hostler.task_state[]) RETURNS uuid[]
LANGUAGE sql VOLATILE SET enable_hashjoin = off SET enable_mergejoin = off AS $$
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
$$;

-- Tells the tasks that depend on `ended`, which just came to the final states `became`: those that
-- waited for nothing else go on, and those that are to be cancelled are, with all that depend on
-- them in turn. The caller holds the rows of `ended`, or made them final in another way that no
-- new dependent can miss.
CREATE FUNCTION hostler.dependencies_ended(ended uuid[], became hostler.task_state[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
$$;

-- Tells the tasks that depend on `again`, which had ended badly and are tried again: those that
-- had gone on without them, and are still blocked for others, wait for them too. They are counted
-- anew: one that is itself tried again by the same statement may have been counted already.
CREATE FUNCTION hostler.dependencies_retried(again uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    held uuid[] := hostler.lock_dependents(again);
BEGIN
    IF held <> '{}' THEN
        PERFORM hostler.count_open(ARRAY(
            SELECT task_id FROM hostler.dependents WHERE task_id = ANY (held) AND policy = 'run'
        ));
    END IF;
END
$$;

-- Once per statement: nothing but a look at what became final, and one probe for each of these.
CREATE FUNCTION hostler.tell_dependents() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
$$;

CREATE TRIGGER tasks_tell_dependents AFTER UPDATE ON hostler.tasks
REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT
EXECUTE FUNCTION hostler.tell_dependents();

-- A task that is tried again waits again for what it depends on, whoever tries it again. It fires
-- before `tasks_step`, which goes by what is made of the row here.
CREATE FUNCTION hostler.retry_waits() RETURNS trigger
LANGUAGE plpgsql AS $$
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
$$;

CREATE TRIGGER tasks_retry_waits BEFORE UPDATE ON hostler.tasks FOR EACH ROW
WHEN (OLD.state IN ('failed', 'cancelled') AND NEW.state IN ('pending', 'scheduled'))
EXECUTE FUNCTION hostler.retry_waits();

-- The steps that are new: a task whose dependencies are done before its time comes is scheduled,
-- and one that is tried again may have to wait for them.
DROP TRIGGER tasks_step ON hostler.tasks;
CREATE TRIGGER tasks_step BEFORE UPDATE ON hostler.tasks FOR EACH ROW
WHEN (
    NEW.id <> OLD.id
    OR NEW.version <> OLD.version + (NEW.state <> OLD.state)::integer
    OR NEW.attempt <> OLD.attempt + (OLD.state = 'pending' AND NEW.state = 'running')::integer
    OR NEW.state <> OLD.state AND NOT CASE OLD.state
        WHEN 'blocked' THEN NEW.state IN ('pending', 'scheduled', 'cancelled')
        WHEN 'scheduled' THEN NEW.state IN ('pending', 'cancelled')
        WHEN 'pending' THEN NEW.state IN ('running', 'cancelled', 'scheduled')
        WHEN 'running' THEN NEW.state IN (
            'awaiting_input', 'completed', 'scheduled', 'failed', 'pending', 'cancelled')
        WHEN 'awaiting_input' THEN NEW.state IN (
            'running', 'scheduled', 'failed', 'pending', 'cancelled')
        WHEN 'failed' THEN NEW.state IN ('pending', 'scheduled', 'blocked')
        WHEN 'cancelled' THEN NEW.state IN ('pending', 'scheduled', 'blocked')
        ELSE false
    END
)
EXECUTE FUNCTION hostler.refuse_task_step();

-- Puts new blocked tasks, whose rows in `dependents` and `dependencies` are there, in step with
-- dependencies that were there before: what has ended counts at once. Its caller has moved those
-- out of the log that have not ended (`track`). Returns the tasks whose state
-- changed, or, before it changes anything, the dependencies that are no tasks (`missing`).
CREATE FUNCTION hostler.wire_dependents(made uuid[])
RETURNS TABLE (wired_task uuid, wired_state hostler.task_state, missing uuid)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
$$;

-- Lets a blocked task go on without the dependencies that ended badly, or are gone. Returns where
-- it was, where it is, how many dependencies were waived and how many are still open; no row if it
-- is unknown.
CREATE FUNCTION hostler.release_dependent(wanted uuid)
RETURNS TABLE (
    released_from hostler.task_state, released_to hostler.task_state, released_queue text,
    waived_count integer, still_open integer
)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
$$;

-- Up to `most` of the tasks that a blocked task waits for.
CREATE FUNCTION hostler.waits_for(wanted uuid, most integer) RETURNS uuid[]
LANGUAGE sql STABLE SET enable_seqscan = off AS $$
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
$$;

-- The first of the dependencies that ended badly, or are gone, and hold a blocked task up.
CREATE FUNCTION hostler.held_by(wanted uuid) RETURNS uuid
LANGUAGE sql STABLE SET enable_seqscan = off AS $$
    SELECT depends_on
    FROM hostler.dependencies
    WHERE task_id = wanted AND NOT waived AND NOT hostler.is_hopeful(
        (SELECT policy FROM hostler.dependents WHERE task_id = wanted),
        hostler.dependency_state(dependencies.depends_on)
    )
    ORDER BY place
    LIMIT 1
$$;

-- What the input of a task may use of its dependencies, by the names that it has for them:
-- {"deps": {...}, "bytes": n, "most": m}. Where the results are larger than is handed on, `deps`
-- is null.
CREATE FUNCTION hostler.dependency_results(wanted uuid) RETURNS jsonb
LANGUAGE sql STABLE SET enable_seqscan = off AS $$
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
$$;

-- Whether a task that has not ended depends on this one: its result may still be wanted.
CREATE FUNCTION hostler.is_awaited(wanted uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM hostler.dependencies
        JOIN hostler.tasks ON tasks.id = dependencies.task_id
        WHERE dependencies.depends_on = wanted
            AND tasks.state NOT IN ('completed', 'failed', 'cancelled')
    )
$$;

CREATE FUNCTION hostler.forget_dependencies() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM hostler.dependents WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    DELETE FROM hostler.dependencies WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_forget_dependencies AFTER DELETE ON hostler.tasks
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
EXECUTE FUNCTION hostler.forget_dependencies();

-- The input of an attempt could not be made of the results that it is a template over.
ALTER TYPE hostler.failure_class ADD VALUE 'input';

COMMENT ON TABLE hostler.dependents IS 'The tasks that depend on others: what becomes of each when one of these fails, and how many it still waits for.';
COMMENT ON TABLE hostler.dependencies IS 'What each of these tasks depends on, in the order of its submit. A dependency always has the smaller id.';

COMMENT ON FUNCTION hostler.dependencies_ended(uuid[], hostler.task_state[]) IS
'Internal: lets the tasks go on, or cancels them, that depend on tasks that just came to these final states.';
COMMENT ON FUNCTION hostler.wire_dependents(uuid[]) IS
'Internal: puts new blocked tasks in step with dependencies that were there before.';
COMMENT ON FUNCTION hostler.is_awaited(uuid) IS
'Whether a task that has not ended depends on this one, so that its result may still be wanted.';
COMMENT ON FUNCTION hostler.release_dependent(uuid) IS
'Internal: lets a blocked task go on without the dependencies that ended badly.';
COMMENT ON FUNCTION hostler.dependency_results(uuid) IS
'Internal: what the input of a task may use of its dependencies.';
COMMENT ON FUNCTION hostler.dependency_is_done(hostler.dependency_policy, hostler.task_state) IS
'Internal: whether a dependency in this state is waited for no more.';
COMMENT ON FUNCTION hostler.dependency_state(uuid) IS 'Internal: where a dependency is, tracked or in the log.';
COMMENT ON FUNCTION hostler.is_hopeful(hostler.dependency_policy, hostler.task_state) IS
'Internal: whether a dependency in this state may still be done, or is.';
COMMENT ON FUNCTION hostler.waits_for(uuid, integer) IS 'Internal: what a blocked task waits for.';
COMMENT ON FUNCTION hostler.held_by(uuid) IS 'Internal: what ended badly and holds a blocked task up.';
COMMENT ON FUNCTION hostler.lock_dependencies(uuid[]) IS 'Internal: locks tasks against their end.';
COMMENT ON FUNCTION hostler.lock_dependents(uuid[]) IS 'Internal: locks the blocked tasks that depend on these.';
COMMENT ON FUNCTION hostler.blocked_by(uuid) IS 'Internal: the blocked tasks that depend on this one.';
COMMENT ON FUNCTION hostler.doomed_by(uuid[]) IS 'Internal: the blocked tasks that are cancelled when these end badly.';
COMMENT ON FUNCTION hostler.cancel_dependents(uuid[], uuid[]) IS 'Internal: cancels blocked tasks.';
COMMENT ON FUNCTION hostler.note_causes(uuid[], uuid[]) IS 'Internal: writes down for what tasks were cancelled.';
COMMENT ON FUNCTION hostler.close_dependencies(uuid[], hostler.task_state[]) IS 'Internal: counts down what waits for ended tasks.';
COMMENT ON FUNCTION hostler.count_open(uuid[]) IS 'Internal: counts what tasks wait for.';
COMMENT ON FUNCTION hostler.unblock(uuid[]) IS 'Internal: lets blocked tasks go on.';
COMMENT ON FUNCTION hostler.dependencies_retried(uuid[]) IS 'Internal: lets blocked tasks wait again for tasks that are tried again.';
COMMENT ON FUNCTION hostler.tell_dependents() IS 'Internal: tells the tasks that depend on those that ended.';
COMMENT ON FUNCTION hostler.retry_waits() IS 'Internal: a task that is tried again waits for what it depends on.';
COMMENT ON FUNCTION hostler.forget_dependencies() IS 'Internal: deletes the dependencies of a deleted task.';
