-- tasks/set_defaults: what a task gets that SQL submits, and how failures are tried again that SQL
--     tells: at most $1 attempts, waits from $2 to $3 milliseconds. The last host to start wins.
-- State: none.
-- Locks: the one row, where it changes.
-- Index: task_defaults_pkey.
UPDATE hostler.task_defaults
SET max_attempts = $1, backoff_min_ms = $2, backoff_max_ms = $3
WHERE only_row AND (max_attempts, backoff_min_ms, backoff_max_ms)
    IS DISTINCT FROM ($1::integer, $2::bigint, $3::bigint);
