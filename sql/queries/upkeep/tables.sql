-- upkeep/tables: every table of the schema: live and dead rows as the server counts them, its sizes in
--     bytes, about how much of the heap nobody needs, and when it was last vacuumed and analyzed.
--     The guess: what its live rows would take by the average width of their columns (pg_stats), each
--     with 28 bytes of its own, in pages of 8 KiB; unknown before the first ANALYZE.
-- State: none.
-- Locks: none.
-- Index: those of the catalog.
SELECT stat.relname::text AS name, stat.n_live_tup AS live, stat.n_dead_tup AS dead,
    pg_relation_size(stat.relid) AS heap_bytes, pg_indexes_size(stat.relid) AS index_bytes,
    pg_total_relation_size(stat.relid) AS total_bytes,
    CASE WHEN shape.width IS NOT NULL THEN greatest(0, pg_relation_size(stat.relid)
        - 8192 * ceil(stat.n_live_tup * (28 + shape.width) / (8168.0 * shape.fill)))
    END::bigint AS bloat_bytes,
    greatest(stat.last_vacuum, stat.last_autovacuum) AS vacuumed_at,
    stat.vacuum_count + stat.autovacuum_count AS vacuums,
    greatest(stat.last_analyze, stat.last_autoanalyze) AS analyzed_at
FROM pg_catalog.pg_stat_user_tables AS stat
JOIN pg_catalog.pg_class ON pg_class.oid = stat.relid
CROSS JOIN LATERAL (
    SELECT sum(avg_width) AS width,
        coalesce((
            SELECT option_value::numeric / 100
            FROM pg_options_to_table(pg_class.reloptions) WHERE option_name = 'fillfactor'
        ), 1) AS fill
    FROM pg_catalog.pg_stats
    WHERE pg_stats.schemaname = stat.schemaname AND pg_stats.tablename = stat.relname
) AS shape
WHERE stat.schemaname = 'hostler'
ORDER BY total_bytes DESC, name;
