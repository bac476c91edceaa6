-- task_tally/group: how many tasks of group $1 are in each state, and when tasks came there: for
--     the first time, and most lately. No row for a state in which none ever was.
-- State: none.
-- Locks: none.
-- Index: task_tally_by_scope: a few rows for each state, however large the group is.
SELECT state, sum(tasks)::bigint AS tasks, min(first_at) AS first_at, max(last_at) AS last_at
FROM hostler.task_tally
WHERE scope = 'group ' || $1::text
GROUP BY state;
