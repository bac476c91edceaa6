-- plan_tasks/reopen: what was written down of the tasks $2 of run $1 does not hold any more: they are
--     tried again, and the run goes on.
-- State: none.
-- Locks: the rows.
-- Index: plan_tasks_pkey, plan_runs_pkey.
WITH run AS (
    UPDATE hostler.plan_runs SET ended_at = NULL, cancelled_at = NULL, looked_at = NULL
    WHERE id = $1
), merge AS (
    UPDATE hostler.plan_tasks SET merge_state = NULL
    WHERE run_id = $1 AND merge_id = ANY ($2::uuid[]) AND NOT task_id = ANY ($2::uuid[])
)
UPDATE hostler.plan_tasks
SET state = NULL, merge_state = NULL, ready_at = NULL, began_at = NULL, ended_at = NULL, agent = NULL, took_ms = NULL
WHERE run_id = $1 AND task_id = ANY ($2::uuid[]);
