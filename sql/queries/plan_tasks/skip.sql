-- plan_tasks/skip: task $2 of run $1 is not to be done: it goes to queue $3, which no agent serves, if
--     it waits. Returns it, and where it is; no row if it is unknown.
-- State: none: it is ended by hostler.end_by_hand once what it waits for has ended.
-- Locks: the task.
-- Index: plan_tasks_by_task, tasks_pkey.
WITH found AS MATERIALIZED (
    SELECT id, state FROM hostler.tasks WHERE id = $2 FOR UPDATE
), moved AS (
    UPDATE hostler.tasks SET queue = $3
    WHERE id = (SELECT found.id FROM found) AND state IN ('blocked', 'scheduled', 'pending')
), noted AS (
    UPDATE hostler.plan_tasks SET skipped_at = now()
    WHERE run_id = $1 AND task_id = (
        SELECT found.id FROM found WHERE found.state IN ('blocked', 'scheduled', 'pending')
    )
)
SELECT state FROM found;
