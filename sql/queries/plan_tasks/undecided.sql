-- plan_tasks/undecided: the tasks of run $1 that wait for nothing but their condition, with that and
--     the results that it may use.
-- State: none.
-- Locks: none.
-- Index: plan_tasks_pkey, tasks_pkey, dependencies_pkey.
SELECT one.task_id, one.condition, hostler.dependency_results(one.task_id) AS results
FROM hostler.plan_tasks AS one
WHERE one.run_id = $1 AND one.condition IS NOT NULL AND one.decided IS NULL
    AND one.skipped_at IS NULL
    AND (SELECT tasks.state FROM hostler.tasks WHERE tasks.id = one.task_id) = 'pending'
ORDER BY one.place;
