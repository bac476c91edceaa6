-- breaking: no
-- What is deleted of the past, and what is not.
--
-- The leader deletes ended tasks when their terms are over. Whoever deletes takes the rows first
-- (`FOR UPDATE SKIP LOCKED`), and looks in a statement of its own, which sees what was committed
-- until then, whether they are still needed. Whoever begins to need a task that has ended locks it
-- `FOR KEY SHARE`. So neither misses the other, and nobody who claims or settles waits for either.

-- From where on the feed is whole: what transactions up to `gone` did may be deleted. A restore
-- brings other ids of transactions, of which nothing is deleted yet.
CREATE TABLE hostler.feed_horizon (
    one  boolean PRIMARY KEY DEFAULT true CONSTRAINT there_is_one_horizon CHECK (one),
    gone xid8    NOT NULL DEFAULT '0'
);
COMMENT ON TABLE hostler.feed_horizon IS 'From where on the feed is whole: one row at the most.';

-- Steps of the transactions up to `newest` were deleted from the feed; null says that none were.
CREATE FUNCTION hostler.feed_begins_after(newest xid8) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO hostler.feed_horizon AS horizon (gone)
    SELECT newest WHERE newest IS NOT NULL
    ON CONFLICT (one) DO UPDATE SET gone = EXCLUDED.gone WHERE horizon.gone < EXCLUDED.gone
$$;
COMMENT ON FUNCTION hostler.feed_begins_after(xid8) IS 'Notes that steps of the feed up to a transaction were deleted.';

-- As in 0012, and the feed says from where on it is whole, whoever deletes.
CREATE OR REPLACE FUNCTION hostler.forget_deleted_tasks() RETURNS trigger
LANGUAGE plpgsql AS $$
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
$$;

-- Until when a task is kept though it has ended, because it was to be the only one of its key.
ALTER TABLE hostler.task_unique ADD COLUMN kept_until timestamptz;

-- Whether somebody may still ask for an ended task: one that waits for it, or that failed and may be
-- tried again with its result; a batch or a group of which some are still to end; a key whose window
-- lasts. Or whoever reads the feed, while a transaction is open that is older than its last step: a
-- reader's place would be before the horizon for as long as that lasts.
CREATE FUNCTION hostler.is_needed(wanted uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
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
$$;
COMMENT ON FUNCTION hostler.is_needed(uuid) IS
    'Whether somebody may still ask for an ended task. Whoever deletes ended tasks leaves those alone.';

-- As in 0010. Completed ones, too, must not be deleted under the hands of who comes to depend on
-- them: he waits for a deletion that is under way, and then finds them gone.
CREATE OR REPLACE FUNCTION hostler.lock_dependencies(wanted uuid[]) RETURNS void
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
    PERFORM id FROM hostler.tasks
    WHERE id = ANY (wanted) AND state IS NOT DISTINCT FROM 'completed'
    ORDER BY id
    FOR KEY SHARE;
    PERFORM number FROM hostler.log_tasks
    WHERE id = ANY (wanted)
    ORDER BY lane, number
    FOR KEY SHARE;
END
$$;

-- As in 0014. What is being deleted from the log has ended, and must not be taken for one that has not
-- because its end is gone: it is waited for.
CREATE OR REPLACE FUNCTION hostler.track(ids uuid[], agents text[] DEFAULT NULL) RETURNS bigint
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
$$;
