-- dependencies/near: task $1, and up to $2 each of the tasks that it depends on and of those that
--     depend on it.
-- State: none.
-- Locks: none.
-- Index: dependencies_pkey, dependencies_on.
SELECT $1::uuid AS id
UNION
(SELECT depends_on FROM hostler.dependencies WHERE task_id = $1 ORDER BY place LIMIT $2::bigint)
UNION
(SELECT task_id FROM hostler.dependencies WHERE depends_on = $1 ORDER BY task_id LIMIT $2::bigint);
