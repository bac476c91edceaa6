-- tasks/lock_connected: lock the tasks $1 and those that depend on them, before they are called off
--     together. Returns those of $1 that are locked.
-- State: none.
-- Locks: tasks that are not blocked, in the order of their ids; then blocked ones, in the order of
--     theirs: so does everybody (sql/migrations/0010_graphs.sql).
-- Index: tasks_pkey, dependencies_on.
SELECT hostler.lock_connected($1::uuid[]) AS locked;
