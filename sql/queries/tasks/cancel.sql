-- tasks/cancel: call task $1 off. Returns where it was, and who holds it; no row if it is unknown.
-- State: blocked, scheduled, pending -> cancelled, which is `step(_, Cancelled)`. A held task
--     keeps its state and is marked: its attempt must end first. A final one stays as it is.
-- Locks: the task's row; waits for a claim or a settle of it, and then goes by what they did.
-- Index: tasks_pkey.
WITH found AS MATERIALIZED (
    SELECT id, state, host_id, agent, attempt FROM hostler.tasks WHERE id = $1 FOR UPDATE
), changed AS (
    UPDATE hostler.tasks
    SET state = CASE WHEN found.host_id IS NULL THEN 'cancelled' ELSE found.state END,
        finished_at = CASE WHEN found.host_id IS NULL THEN now() END,
        version = tasks.version + (found.host_id IS NULL)::integer,
        cancel_requested = found.host_id IS NOT NULL
    FROM found
    WHERE tasks.id = found.id
        AND found.state NOT IN ('completed', 'failed', 'cancelled')
        AND NOT tasks.cancel_requested
)
SELECT state, host_id, agent, attempt FROM found;
