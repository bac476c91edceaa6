-- upkeep/holders: what keeps vacuum from taking dead rows away, the oldest first: sessions with a
--     snapshot or a transaction, prepared transactions, replication slots. `age` is how many
--     transactions ago its snapshot is from. Of another user's session the server tells less.
-- State: none.
-- Locks: none.
-- Index: none.
SELECT 'session' AS kind, pid::text AS name, usename::text AS owner,
    application_name || coalesce(' (' || nullif(datname::text, current_database()) || ')', '') AS what,
    coalesce(state, 'unknown') AS state, xact_start AS since,
    greatest(age(backend_xmin), age(backend_xid))::bigint AS age
FROM pg_catalog.pg_stat_activity
WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()
    AND backend_type <> 'autovacuum worker'
    AND (datname = current_database() OR datname IS NULL)
UNION ALL
SELECT 'prepared', gid, owner::text, 'prepared transaction', 'prepared', prepared,
    age(transaction)::bigint
FROM pg_catalog.pg_prepared_xacts
WHERE database = current_database()
UNION ALL
SELECT 'slot', slot_name::text, NULL, slot_type || ' replication slot',
    CASE WHEN active THEN 'active' ELSE 'inactive' END, NULL,
    greatest(age(xmin), age(catalog_xmin))::bigint
FROM pg_catalog.pg_replication_slots
WHERE (xmin IS NOT NULL OR catalog_xmin IS NOT NULL)
    AND (database = current_database() OR database IS NULL)
ORDER BY age DESC, name;
