-- breaking: no
-- Deadlines, and attempts that are put off by their agents.
--
-- The new words of the two types can't be used in the transaction that adds them: nothing here does.
ALTER TYPE hostler.failure_class ADD VALUE 'deadline';
ALTER TYPE hostler.attempt_outcome ADD VALUE 'snoozed';

-- Null for nearly all tasks, which costs nothing. It stands in `tasks` because no claim may take a
-- task past it. A schedule says how long after the due time the deadline of its tasks is.
ALTER TABLE hostler.tasks ADD COLUMN deadline timestamptz;
ALTER TABLE hostler.schedules ADD COLUMN deadline_ms bigint,
    ADD CONSTRAINT schedule_deadline_makes_sense CHECK (deadline_ms > 0);

CREATE INDEX tasks_deadline ON hostler.tasks (deadline)
    WHERE deadline IS NOT NULL AND state IN ('blocked', 'scheduled', 'pending');

-- A task may fail before its first attempt: at its deadline. The constraint before this one let
-- through no row that this one refuses.
ALTER TABLE hostler.tasks DROP CONSTRAINT held_under_a_number,
    ADD CONSTRAINT held_under_a_number CHECK (
        attempt >= 1 OR state NOT IN ('running', 'awaiting_input', 'completed')
    ) NOT VALID;

-- Why a task failed, where it was none of its attempts that did. Of a task that failed, was tried
-- again and failed otherwise, an old row may be left: it means something only while the task is
-- failed, and only if its newest attempt is the one that is named here.
CREATE TABLE hostler.task_failures (
    task_id uuid                  PRIMARY KEY,
    attempt integer               NOT NULL,
    class   hostler.failure_class NOT NULL,
    message text                  NOT NULL,
    detail  jsonb                 NOT NULL
);

CREATE FUNCTION hostler.forget_deleted_failures() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM hostler.task_failures WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_forget_failures AFTER DELETE ON hostler.tasks
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
EXECUTE FUNCTION hostler.forget_deleted_failures();

-- A claim passes over what is past its deadline, whoever claims and by whatever statement. (A
-- statement that can looks for itself: a task that is passed over here has used up its place.)
CREATE FUNCTION hostler.pass_over() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_claim_in_time BEFORE UPDATE ON hostler.tasks FOR EACH ROW
WHEN (NEW.deadline <= now() AND OLD.state = 'pending' AND NEW.state = 'running')
EXECUTE FUNCTION hostler.pass_over();

-- Who asks for another try by hand does not want it to fail in the same moment: a deadline that has
-- passed is gone then.
CREATE FUNCTION hostler.drop_passed_deadline() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.deadline := NULL;
    RETURN NEW;
END
$$;

CREATE TRIGGER tasks_retry_drops_deadline BEFORE UPDATE ON hostler.tasks FOR EACH ROW
WHEN (
    NEW.deadline <= now() AND OLD.state IN ('failed', 'cancelled')
    AND NEW.state NOT IN ('failed', 'cancelled')
)
EXECUTE FUNCTION hostler.drop_passed_deadline();

-- What waits may fail at its deadline.
DROP TRIGGER tasks_step ON hostler.tasks;
CREATE TRIGGER tasks_step BEFORE UPDATE ON hostler.tasks FOR EACH ROW
WHEN (
    NEW.id <> OLD.id
    OR NEW.version <> OLD.version + (NEW.state <> OLD.state)::integer
    OR NEW.attempt <> OLD.attempt + (OLD.state = 'pending' AND NEW.state = 'running')::integer
    OR NEW.state <> OLD.state AND NOT CASE OLD.state
        WHEN 'blocked' THEN NEW.state IN ('pending', 'scheduled', 'cancelled', 'failed')
        WHEN 'scheduled' THEN NEW.state IN ('pending', 'cancelled', 'failed')
        WHEN 'pending' THEN NEW.state IN ('running', 'cancelled', 'scheduled', 'failed')
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

-- What is told of failures has these, too.
CREATE OR REPLACE FUNCTION hostler.task_result(
    task_id uuid, OUT state text, OUT output jsonb, OUT error text, OUT finished_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
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
$$;

CREATE OR REPLACE VIEW hostler.task_overview AS
SELECT tasks.id AS task, 'tsk_' || replace(tasks.id::text, '-', '') AS task_id, tasks.queue,
    tasks.kind, tasks.state, tasks.priority, tasks.attempt AS attempts, tasks.failures,
    tasks.max_attempts, hosts.name AS host, tasks.agent,
    coalesce(late.message, failure.message) AS last_error, tasks.created_at, tasks.run_at,
    tasks.started_at, tasks.finished_at, tasks.idempotency_key, task_inputs.input,
    task_results.output, tasks.deadline
FROM hostler.tasks
LEFT JOIN hostler.hosts ON hosts.id = tasks.host_id
LEFT JOIN hostler.task_inputs ON task_inputs.task_id = tasks.id
LEFT JOIN hostler.task_results ON task_results.task_id = tasks.id
LEFT JOIN hostler.task_failures AS late
    ON late.task_id = tasks.id AND late.attempt = tasks.attempt AND tasks.state = 'failed'
LEFT JOIN LATERAL (
    SELECT attempts.message
    FROM hostler.attempts
    WHERE attempts.task_id = tasks.id AND attempts.outcome = 'failed'
    ORDER BY attempts.attempt DESC
    LIMIT 1
) AS failure ON true
UNION ALL
SELECT record.id, 'tsk_' || replace(record.id::text, '-', ''), record.queue, record.kind,
    record.state, 0::smallint, record.attempt, 0, record.max_attempts, hosts.name, NULL, NULL,
    record.created_at, record.created_at,
    CASE WHEN record.state = 'running' THEN record.started_at END, record.finished_at, NULL,
    record.input, record.output, NULL
FROM hostler.log_records AS record
LEFT JOIN hostler.hosts ON hosts.id = record.host_id;

CREATE OR REPLACE VIEW hostler.dead_letters AS
SELECT tasks.id AS task, tasks.queue, tasks.kind, tasks.finished_at AS failed_at, tasks.failures,
    coalesce(late.class, failure.class) AS error_class,
    coalesce(late.message, failure.message) AS error,
    coalesce(late.detail, failure.detail) AS error_detail,
    failure.agent, task_inputs.input
FROM hostler.tasks
LEFT JOIN hostler.task_inputs ON task_inputs.task_id = tasks.id
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

COMMENT ON TABLE hostler.task_failures IS 'Why a task failed, where none of its attempts did: its deadline.';
COMMENT ON FUNCTION hostler.forget_deleted_failures() IS 'Internal: deletes what hangs on a deleted task.';
COMMENT ON FUNCTION hostler.pass_over() IS 'Internal: keeps a claim from taking a task past its deadline.';
COMMENT ON FUNCTION hostler.drop_passed_deadline() IS 'Internal: a retry by hand drops a deadline that has passed.';
