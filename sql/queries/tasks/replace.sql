-- tasks/replace: let the tasks $1, in the order of ids, take over kinds $2, inputs $3, priorities
--     $4, times to wait for $5, most attempts $6, time limits $7 (milliseconds), retry
--     terms $8, deadlines $9, lanes $10, workspaces $11 and limits of silence $12 (milliseconds). Returns where each is now; no row for one
--     that has been started.
-- State: scheduled -> pending, which is `step(_, Due)`; pending -> scheduled, which is
--     `step(_, Deferred)`; as the new time says. A blocked task stays blocked.
-- Locks: the tasks, which the transaction has locked before, and their inputs.
-- Index: tasks_pkey and task_inputs_pkey, by the list of ids. width_bucket finds the place of a
--     task in the list by bisection, so that there is no join to plan.
WITH changed AS (
    UPDATE hostler.tasks
    SET kind = ($2::text[])[width_bucket(id, $1::uuid[])],
        priority = ($4::smallint[])[width_bucket(id, $1::uuid[])],
        run_at = coalesce(($5::timestamptz[])[width_bucket(id, $1::uuid[])], now()),
        max_attempts = ($6::integer[])[width_bucket(id, $1::uuid[])],
        timeout_ms = ($7::bigint[])[width_bucket(id, $1::uuid[])],
        retry = ($8::jsonb[])[width_bucket(id, $1::uuid[])],
        deadline = ($9::timestamptz[])[width_bucket(id, $1::uuid[])],
        lane = ($10::bigint[])[width_bucket(id, $1::uuid[])],
        workspace = ($11::jsonb[])[width_bucket(id, $1::uuid[])],
        stale_after_ms = ($12::bigint[])[width_bucket(id, $1::uuid[])],
        state = CASE
            WHEN state = 'blocked' THEN state
            WHEN ($5::timestamptz[])[width_bucket(id, $1::uuid[])] > now() THEN 'scheduled'
            ELSE 'pending'
        END,
        version = version + CASE
            WHEN state = 'blocked' THEN 0
            WHEN ($5::timestamptz[])[width_bucket(id, $1::uuid[])] > now()
            THEN (state <> 'scheduled')::integer
            ELSE (state <> 'pending')::integer
        END
    WHERE id = ANY ($1::uuid[]) AND attempt = 0
        AND state IN ('blocked', 'scheduled', 'pending')
    RETURNING id, state
), inputs AS (
    UPDATE hostler.task_inputs
    SET input = ($3::jsonb[])[width_bucket(task_id, $1::uuid[])]
    WHERE task_id = ANY (ARRAY(SELECT changed.id FROM changed))
)
SELECT id, state FROM changed;
