-- schema/session: how the server plans for a connection of ours. Prepared statements keep the plan
--     of an early moment, perhaps that of an empty table, and every one of ours finds its rows by
--     an index. Compiling a plan takes longer than running it. Returns which process serves the
--     session, and since when, for schema/sever.
-- State: none.
-- Locks: none.
-- Index: none.
SELECT set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false), pid,
    backend_start
FROM pg_stat_get_activity(pg_backend_pid());
