-- upkeep/indexes: every index of the schema, its size in bytes, and how often it was used.
-- State: none.
-- Locks: none.
-- Index: those of the catalog.
SELECT relname::text AS "table", indexrelname::text AS name, pg_relation_size(indexrelid) AS bytes,
    idx_scan AS scans
FROM pg_catalog.pg_stat_user_indexes
WHERE schemaname = 'hostler'
ORDER BY bytes DESC, name;
