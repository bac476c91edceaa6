-- dependents/among: which of the tasks $1 depend on others.
-- State: none.
-- Locks: none.
-- Index: dependents_pkey.
SELECT task_id AS id FROM hostler.dependents WHERE task_id = ANY ($1::uuid[]) ORDER BY task_id;
