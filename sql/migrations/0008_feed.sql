-- breaking: no
-- The feed: every step of every task in one order, to be read from where a reader has been.
--
-- A position is taken while its transaction is still open, so a lower one may be committed later than
-- a higher one. A reader therefore remembers the snapshot up to which it has read, and not a position
-- alone: what was not committed then is told the next time, and nothing is told twice. Of one task
-- the steps are in their order, because a step can be made only once the one before it is committed.

CREATE SEQUENCE hostler.feed_position;
COMMENT ON SEQUENCE hostler.feed_position IS 'The positions of the feed, of task_events and log_feed together.';

-- No position: the log has told of it already.
ALTER TABLE hostler.task_events
    ADD COLUMN position bigint DEFAULT nextval('hostler.feed_position'),
    ADD COLUMN tx xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX task_events_tx ON hostler.task_events (tx) WHERE position IS NOT NULL;

-- One row for each statement on the log: step 1, 2 or 3 of many plain tasks at once. Of a range, or
-- of the numbers of an array; of a range without those that had left the log.
CREATE TABLE hostler.log_feed (
    position    bigint      NOT NULL DEFAULT nextval('hostler.feed_position'),
    tx          xid8        NOT NULL DEFAULT pg_current_xact_id(),
    at          timestamptz NOT NULL DEFAULT now(),
    step        smallint    NOT NULL,
    lane        integer     NOT NULL,
    first       bigint,
    last        bigint,
    passed_over bigint[]    NOT NULL DEFAULT '{}',
    numbers     bigint[],
    CONSTRAINT a_range_or_numbers CHECK (num_nonnulls(first, last, numbers) IN (1, 2)
        AND (numbers IS NULL) = (first IS NOT NULL) AND (numbers IS NULL) = (last IS NOT NULL)),
    CONSTRAINT steps_of_plain_tasks CHECK (step BETWEEN 1 AND 3)
);
CREATE INDEX log_feed_tx ON hostler.log_feed (tx);
COMMENT ON TABLE hostler.log_feed IS 'The steps of plain tasks, one row for each statement that made them.';

-- As in 0007, and what the log has told is not told again.
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
