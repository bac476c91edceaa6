-- dependencies/among: the dependencies of the tasks $1 on one of these tasks, $1 in order.
-- State: none.
-- Locks: none.
-- Index: dependencies_pkey, by the list of ids. width_bucket finds a task in the list by bisection.
SELECT task_id, depends_on, name, waived
FROM hostler.dependencies
WHERE task_id = ANY ($1::uuid[])
    AND width_bucket(depends_on, $1::uuid[]) > 0
    AND ($1::uuid[])[width_bucket(depends_on, $1::uuid[])] = depends_on
ORDER BY task_id, place;
