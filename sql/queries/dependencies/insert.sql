-- dependencies/insert: write down what new tasks depend on: tasks $1, places $2, dependencies $3,
--     names $4, whether the input uses the result $5.
-- State: none.
-- Locks: none; nobody else sees the tasks yet.
-- Index: dependencies_pkey, dependencies_on.
INSERT INTO hostler.dependencies (task_id, place, depends_on, name, used)
SELECT *
FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::text[], $5::boolean[]);
