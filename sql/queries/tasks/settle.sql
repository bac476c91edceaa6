-- tasks/settle: write the ends of a batch of attempts of host $1: tasks $2, attempts $3, the states
--     they lead to $4, waits $5 (milliseconds), outcomes $6, outputs $7, classes $8, messages $9,
--     details $10, reasons $11. Returns one row per end that counted.
-- State: running, awaiting_input -> $4, which the caller has from `step`; one that would be tried
--     again is cancelled where that was asked. A task that awaits input cannot complete.
-- Locks: the tasks, in the order given, which is the order of their ids. An end counts only for
--     the newest attempt, and only from the host that holds it: a late answer matches no row.
-- Index: tasks_pkey, twice: `before` is what a RETURNING of old values would give; its columns
--     cannot change within an attempt.
WITH given AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $2::uuid[], $3::integer[], $4::hostler.task_state[], $5::bigint[],
        $6::hostler.attempt_outcome[], $7::jsonb[], $8::hostler.failure_class[], $9::text[],
        $10::jsonb[], $11::text[]
    ) AS given (
        task_id, attempt, next, wait_ms, outcome, output, class, message, detail, reason
    )
), settled AS (
    UPDATE hostler.tasks
    SET state = CASE
            WHEN tasks.cancel_requested AND given.next IN ('scheduled', 'pending') THEN 'cancelled'
            ELSE given.next
        END,
        finished_at = CASE
            WHEN tasks.cancel_requested OR given.next IN ('completed', 'failed', 'cancelled')
            THEN now()
        END,
        run_at = CASE
            WHEN given.next = 'scheduled' THEN now() + given.wait_ms * interval '1 millisecond'
            ELSE tasks.run_at
        END,
        failures = tasks.failures + (given.outcome = 'failed')::integer,
        version = tasks.version + 1,
        host_id = NULL, agent = NULL, started_at = NULL, cancel_requested = false
    FROM given
    JOIN hostler.tasks AS before ON before.id = given.task_id
    WHERE tasks.id = given.task_id
        AND tasks.attempt = given.attempt
        AND tasks.host_id = $1
        AND (
            tasks.state = 'running'
            OR tasks.state = 'awaiting_input' AND given.next <> 'completed'
        )
    RETURNING tasks.id, tasks.attempt, tasks.state, before.agent, before.started_at,
        given.outcome, given.output, given.class, given.message, given.detail, given.reason
), history AS (
    INSERT INTO hostler.attempts (
        task_id, attempt, outcome, class, message, detail, reason, host_id, agent, started_at
    )
    SELECT id, attempt, outcome, class, message, detail, reason, $1, agent, started_at
    FROM settled
), results AS (
    INSERT INTO hostler.task_results (task_id, output)
    SELECT id, output FROM settled WHERE state = 'completed'
)
SELECT id, attempt, state FROM settled ORDER BY id;
