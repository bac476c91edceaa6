-- copy/tables: every table of the schema but the two that migrations keep, those first that others
--     refer to, with the statements that copy one out and in, hold its triggers back and let them
--     go, and empty all of them at once. The statements are made here, because what they name is
--     known to the catalog alone. Left out are columns that compute themselves, and ids of
--     transactions: those mean nothing in another server, and get the restore's by their default.
-- State: none.
-- Locks: none.
-- Index: those of the catalog.
WITH RECURSIVE known AS (
    SELECT oid, relname, greatest(reltuples, 0)::bigint AS estimate
    FROM pg_catalog.pg_class
    WHERE relnamespace = 'hostler'::regnamespace AND relkind = 'r'
        AND relname NOT IN ('schema_versions', 'schema_history')
), depth AS (
    SELECT oid, 0 AS level FROM known
    UNION
    SELECT conrelid, level + 1
    FROM depth
    JOIN pg_catalog.pg_constraint ON confrelid = depth.oid AND contype = 'f'
    WHERE conrelid <> confrelid AND level < 100
), shape AS (
    SELECT known.relname, known.estimate, format('hostler.%I', known.relname) AS place,
        (SELECT max(level) FROM depth WHERE depth.oid = known.oid) AS level,
        array_agg(attname ORDER BY attnum) AS columns,
        string_agg(format('%I', attname), ', ' ORDER BY attnum) AS list
    FROM known
    JOIN pg_catalog.pg_attribute ON attrelid = known.oid
    WHERE attnum > 0 AND NOT attisdropped AND attgenerated = ''
        AND atttypid <> 'xid8'::regtype
    GROUP BY known.oid, known.relname, known.estimate
)
SELECT relname::text AS name, columns::text[] AS columns, estimate,
    format('COPY %s (%s) TO STDOUT', place, list) AS copy_out,
    format('COPY %s (%s) FROM STDIN', place, list) AS copy_in,
    format('ALTER TABLE %s DISABLE TRIGGER USER', place) AS hold_triggers,
    format('ALTER TABLE %s ENABLE TRIGGER USER', place) AS free_triggers,
    format('SELECT EXISTS (SELECT FROM %s) AS has_rows', place) AS look,
    (SELECT 'TRUNCATE ' || string_agg(place, ', ') FROM shape) AS empty_all
FROM shape
ORDER BY level, relname;
