-- dependents/insert: note that the new tasks $1 depend on others: policies $2, numbers of
--     dependencies $3, whether the input is a template $4.
-- State: none; the tasks are blocked.
-- Locks: none; nobody else sees the tasks yet.
-- Index: dependents_pkey.
INSERT INTO hostler.dependents (task_id, policy, open, template)
SELECT *
FROM unnest($1::uuid[], $2::hostler.dependency_policy[], $3::integer[], $4::boolean[]);
