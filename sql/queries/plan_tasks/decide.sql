-- plan_tasks/decide: task $2 of run $1 is to be done, or not, by its condition: $3. One that is goes to
--     its agents.
-- State: none.
-- Locks: the task, and what is known of it.
-- Index: plan_tasks_by_task, tasks_pkey.
WITH decided AS (
    UPDATE hostler.plan_tasks SET decided = $3::boolean
    WHERE run_id = $1 AND task_id = $2 AND decided IS NULL AND skipped_at IS NULL
    RETURNING queue
)
UPDATE hostler.tasks SET queue = (SELECT decided.queue FROM decided)
WHERE id = $2 AND state = 'pending' AND $3::boolean AND EXISTS (SELECT FROM decided)
RETURNING queue;
