-- schema/sever: end the sessions of the processes $1 that began at $2, and wait for each end for up to
--     $3 milliseconds. Returns one row: whether none of them is left.
-- State: none.
-- Locks: none. What those sessions had under way is undone, unless it was committed.
-- Index: none.
SELECT coalesce(bool_and(pg_terminate_backend(activity.pid, $3::bigint)), true) AS ended
FROM unnest($1::integer[], $2::timestamptz[]) AS given (pid, backend_start)
CROSS JOIN LATERAL pg_stat_get_activity(given.pid) AS activity
WHERE activity.backend_start = given.backend_start;
