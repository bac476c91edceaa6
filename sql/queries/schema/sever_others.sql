-- schema/sever_others: end every other session by the name of $1 in this database, and wait for each end
--     for up to $2 milliseconds. Returns one row: whether none of them is left.
-- State: none.
-- Locks: none. What those sessions had under way is undone, unless it was committed.
-- Index: none.
SELECT coalesce(bool_and(pg_terminate_backend(pid, $2::bigint)), true) AS ended
FROM pg_stat_activity
WHERE application_name = $1 AND datname = current_database() AND pid <> pg_backend_pid();
