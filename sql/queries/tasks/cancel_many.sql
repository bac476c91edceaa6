-- tasks/cancel_many: call those of the tasks $1 off that are in one of the states $2. Returns them,
--     and whether they are held.
-- State: blocked, scheduled, pending -> cancelled, which is `step(_, Cancelled)`. A held task
--     keeps its state and is marked: its attempt must end first. A final one, and one that
--     was asked before, stays as it is.
-- Locks: none that its transaction does not have: $1 is what tasks/lock_connected locked.
-- Index: tasks_pkey, by lists of ids.
WITH found AS MATERIALIZED (
    SELECT id, host_id IS NOT NULL AS is_held
    FROM hostler.tasks
    WHERE id = ANY ($1::uuid[]) AND state = ANY ($2::hostler.task_state[])
        AND state NOT IN ('completed', 'failed', 'cancelled') AND NOT cancel_requested
    FOR UPDATE
), changed AS (
    UPDATE hostler.tasks
    SET state = CASE WHEN host_id IS NULL THEN 'cancelled' ELSE state END,
        finished_at = CASE WHEN host_id IS NULL THEN now() END,
        version = version + (host_id IS NULL)::integer,
        cancel_requested = host_id IS NOT NULL
    WHERE id = ANY (ARRAY(SELECT found.id FROM found))
)
SELECT id, is_held FROM found ORDER BY id;
