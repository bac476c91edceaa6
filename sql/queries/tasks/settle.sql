-- tasks/settle: write the ends of a batch of attempts of host $1: tasks $2 (in the order of ids,
--     each once), attempts $3, the states they lead to $4, waits $5 (milliseconds), outcomes $6,
--     outputs $7, classes $8, messages $9, details $10, reasons $11. Returns one row per end that
--     counted.
-- State: running, awaiting_input -> $4, which the caller has from `step`; one that would be tried
--     again is cancelled where that was asked. A task that awaits input cannot complete. What
--     depends on a task that ends is told by a trigger; `awaited` says that there is such a task.
-- Locks: the tasks, in the order of their ids. An end counts only for the newest attempt, and only
--     from the host that holds it: a late answer matches no row.
-- Index: tasks_held or tasks_pkey, either by the list of ids. There is no join to plan, so that a
--     plan made for a small batch is as good for a large one: width_bucket finds the place of a
--     task in the list by bisection. What the update clears is read from the row as it was.
WITH settled AS (
    UPDATE hostler.tasks
    SET state = CASE
            WHEN cancel_requested
                AND ($4::hostler.task_state[])[width_bucket(id, $2::uuid[])]
                    IN ('scheduled', 'pending')
            THEN 'cancelled'
            ELSE ($4::hostler.task_state[])[width_bucket(id, $2::uuid[])]
        END,
        finished_at = CASE
            WHEN cancel_requested
                OR ($4::hostler.task_state[])[width_bucket(id, $2::uuid[])]
                    IN ('completed', 'failed', 'cancelled')
            THEN now()
        END,
        run_at = CASE
            WHEN ($4::hostler.task_state[])[width_bucket(id, $2::uuid[])] = 'scheduled'
            THEN now()
                + ($5::bigint[])[width_bucket(id, $2::uuid[])] * interval '1 millisecond'
            ELSE run_at
        END,
        failures = failures + (
            ($6::hostler.attempt_outcome[])[width_bucket(id, $2::uuid[])] = 'failed'
        )::integer,
        version = version + 1,
        host_id = NULL, agent = NULL, started_at = NULL, cancel_requested = false
    WHERE id = ANY ($2::uuid[])
        AND attempt = ($3::integer[])[width_bucket(id, $2::uuid[])]
        AND host_id = $1
        AND (
            state = 'running'
            OR state = 'awaiting_input'
                AND ($4::hostler.task_state[])[width_bucket(id, $2::uuid[])] <> 'completed'
        )
    RETURNING id, attempt, state, width_bucket(id, $2::uuid[]) AS place,
        (SELECT agent FROM hostler.tasks AS before WHERE before.id = tasks.id) AS agent,
        (SELECT started_at FROM hostler.tasks AS before WHERE before.id = tasks.id) AS started_at
), history AS (
    INSERT INTO hostler.attempts (
        task_id, attempt, outcome, class, message, detail, reason, host_id, agent, started_at
    )
    SELECT id, attempt, ($6::hostler.attempt_outcome[])[place], ($8::hostler.failure_class[])[place], ($9::text[])[place],
        ($10::jsonb[])[place], ($11::text[])[place], $1, agent, started_at
    FROM settled
), results AS (
    INSERT INTO hostler.task_results (task_id, output)
    SELECT id, ($7::jsonb[])[place] FROM settled WHERE state = 'completed'
)
SELECT id, attempt, state,
    state IN ('completed', 'failed', 'cancelled')
        AND EXISTS (SELECT FROM hostler.dependencies WHERE depends_on = settled.id) AS awaited
FROM settled
ORDER BY id;
