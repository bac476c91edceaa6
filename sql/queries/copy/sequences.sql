-- copy/sequences: every sequence of the schema, and how far it has counted. They are of no snapshot.
-- State: none.
-- Locks: none.
-- Index: those of the catalog.
SELECT sequencename::text AS name, coalesce(last_value, start_value) AS value,
    last_value IS NOT NULL AS is_called
FROM pg_catalog.pg_sequences
WHERE schemaname = 'hostler'
ORDER BY sequencename;
