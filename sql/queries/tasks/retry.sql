-- tasks/retry: give task $1 another round of attempts. Returns where it was, and its queue; no row
--     if it is unknown.
-- State: failed, cancelled -> pending, which is `step(_, Retried)`; -> blocked, by a trigger, where it
--     depends on a task that is not done, which is `step(_, RetriedEarly)`. Any other stays as it is.
-- Locks: the task's row; then its dependencies, shared, as in dependents/wire.
-- Index: tasks_pkey.
WITH found AS MATERIALIZED (
    SELECT id, state, queue FROM hostler.tasks WHERE id = $1 FOR UPDATE
), changed AS (
    UPDATE hostler.tasks
    SET state = 'pending', version = version + 1, failures = 0, run_at = now(), finished_at = NULL
    WHERE id = (SELECT found.id FROM found) AND state IN ('failed', 'cancelled')
)
SELECT state, queue FROM found;
