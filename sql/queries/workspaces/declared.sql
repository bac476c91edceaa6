-- workspaces/declared: what task $1 needs: kinds and names. No row for one that needs nothing.
-- State: none.
-- Locks: none.
-- Index: task_needs_pkey.
SELECT array_agg(kind) AS kinds, array_agg(name) AS names
FROM hostler.task_needs
WHERE task_id = $1
HAVING count(*) > 0;
