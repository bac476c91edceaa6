-- tasks/retry: give task $1 another round of attempts. Returns where it was, and its queue; no row
--     if it is unknown.
-- State: failed, cancelled -> pending, which is `step(_, Retried)`. Any other stays as it is.
-- Locks: the task's row.
-- Index: tasks_pkey.
WITH found AS MATERIALIZED (
    SELECT id, state, queue FROM hostler.tasks WHERE id = $1 FOR UPDATE
), changed AS (
    UPDATE hostler.tasks
    SET state = 'pending', version = tasks.version + 1, failures = 0, run_at = now(),
        finished_at = NULL
    FROM found
    WHERE tasks.id = found.id AND found.state IN ('failed', 'cancelled')
)
SELECT state, queue FROM found;
