-- schema/session: how the server plans for a connection of ours. Prepared statements keep the plan
--     of an early moment, perhaps that of an empty table, and every one of ours finds its rows by
--     an index. Compiling a plan takes longer than running it, and planning anew for each set of
--     parameters takes longer than many a statement. Returns which process serves the
--     session, and since when, for schema/sever.
-- State: none.
-- Locks: none.
-- Index: none.
SELECT set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false),
    set_config('plan_cache_mode', 'force_generic_plan', false), pid, backend_start
FROM pg_stat_get_activity(pg_backend_pid());
