-- task_tally/groups: up to $2 groups by their names, from $1 on. With how many of their tasks are in each state, and
--     when tasks came there: for the first time, and most lately. None that has no task any more.
-- State: none.
-- Locks: none.
-- Index: task_tally_by_scope: from one name to the next, and a few rows for each state, however large a group is.
WITH RECURSIVE names AS (
    SELECT min(scope) AS scope FROM hostler.task_tally
    WHERE scope >= 'group ' || $1::text AND scope < 'group!'
    UNION ALL
    SELECT (
        SELECT min(task_tally.scope) FROM hostler.task_tally
        WHERE task_tally.scope > names.scope AND task_tally.scope < 'group!'
    )
    FROM names WHERE names.scope IS NOT NULL
)
SELECT substr(names.scope, 7) AS name, tally.total, tally.states, tally.tasks, tally.first_at, tally.last_at
FROM names
CROSS JOIN LATERAL (
    SELECT array_agg(counted.state ORDER BY counted.state) AS states,
        array_agg(counted.tasks ORDER BY counted.state) AS tasks,
        sum(counted.tasks)::bigint AS total,
        -- The first that anything came to any state is when the first task was made.
        min(counted.first_at) AS first_at, max(counted.last_at) AS last_at
    FROM (
        SELECT state, sum(task_tally.tasks)::bigint AS tasks, min(first_at) AS first_at, max(last_at) AS last_at
        FROM hostler.task_tally
        WHERE task_tally.scope = names.scope
        GROUP BY state
    ) AS counted
) AS tally
WHERE tally.total > 0
LIMIT $2;
