-- breaking: no
-- Merges of plans: each has a task of the queue, and a place in the order of its plan.

-- `merge_id` is the task that ends when what `task_id` made is merged; `merge_rank` its place among the
-- merges of the run. `merge_state` is written once it has ended.
ALTER TABLE hostler.plan_tasks
    ADD COLUMN merge_id uuid,
    ADD COLUMN merge_rank integer,
    ADD COLUMN merge_state hostler.task_state,
    ADD CONSTRAINT plan_task_merges_in_order CHECK ((merge_id IS NULL) = (merge_rank IS NULL)),
    ADD CONSTRAINT plan_task_merge_ends_for_good CHECK (
        merge_state IN ('completed', 'failed', 'cancelled')
    );
CREATE UNIQUE INDEX plan_tasks_by_merge ON hostler.plan_tasks (merge_id) WHERE merge_id IS NOT NULL;
CREATE UNIQUE INDEX plan_tasks_merges ON hostler.plan_tasks (run_id, merge_rank)
    WHERE merge_rank IS NOT NULL;

COMMENT ON COLUMN hostler.plan_tasks.merge_id IS
    'The task of the queue that ends when what this one made is merged; null if nothing is merged.';
COMMENT ON COLUMN hostler.plan_tasks.merge_rank IS
    'Which of the merges of the run it is, in the order of the plan.';
COMMENT ON COLUMN hostler.plan_tasks.merge_state IS 'How the merge ended, once it has.';
