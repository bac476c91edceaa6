-- The schema `hostler` as statements, from the catalogs: the same text on every server version.
WITH space AS (
    SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'hostler'
), part AS (
    SELECT 1 AS kind, typname::text AS name,
        format(E'CREATE TYPE hostler.%I AS ENUM (\n%s\n);', typname, (
            SELECT string_agg(format('    %L', enumlabel), E',\n' ORDER BY enumsortorder)
            FROM pg_catalog.pg_enum WHERE enumtypid = pg_type.oid
        )) AS statement
    FROM pg_catalog.pg_type
    WHERE typnamespace = (SELECT oid FROM space) AND typtype = 'e'
    UNION ALL
    SELECT 2, relname::text, format(E'CREATE TABLE hostler.%I (\n%s\n)%s;', relname,
        (
            SELECT string_agg(line, E',\n' ORDER BY place, line)
            FROM (
                SELECT attnum::integer AS place, '    ' || attname || ' '
                    || format_type(atttypid, atttypmod)
                    || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
                    || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '') AS line
                FROM pg_catalog.pg_attribute
                LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum
                WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
                UNION ALL
                SELECT 9999, format('    CONSTRAINT %I %s', conname, pg_get_constraintdef(oid))
                FROM pg_catalog.pg_constraint
                WHERE conrelid = pg_class.oid AND contype IN ('p', 'u', 'f', 'c', 'x')
            ) AS lines
        ),
        coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', ''))
    FROM pg_catalog.pg_class
    WHERE relnamespace = (SELECT oid FROM space) AND relkind = 'r'
    UNION ALL
    SELECT 3, indexrelid::regclass::text, pg_get_indexdef(indexrelid) || ';'
    FROM pg_catalog.pg_index
    JOIN pg_catalog.pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = (SELECT oid FROM space)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conindid = indexrelid)
    UNION ALL
    SELECT 4, proname::text, rtrim(pg_get_functiondef(pg_proc.oid), E'\n') || ';'
    FROM pg_catalog.pg_proc
    WHERE pronamespace = (SELECT oid FROM space)
    UNION ALL
    SELECT 5, tgname::text, pg_get_triggerdef(pg_trigger.oid, true) || ';'
    FROM pg_catalog.pg_trigger
    JOIN pg_catalog.pg_class ON pg_class.oid = tgrelid
    WHERE relnamespace = (SELECT oid FROM space) AND NOT tgisinternal
    UNION ALL
    SELECT 6, relname::text, format('CREATE SEQUENCE hostler.%I MINVALUE %s START %s;', relname,
        seqmin, seqstart)
    FROM pg_catalog.pg_sequence
    JOIN pg_catalog.pg_class ON pg_class.oid = seqrelid
    WHERE relnamespace = (SELECT oid FROM space)
    UNION ALL
    -- How a view is told differs from version to version: its columns, and no more.
    SELECT 7, relname::text, format(E'CREATE VIEW hostler.%I (\n%s\n) AS ...;', relname, (
        SELECT string_agg('    ' || attname || ' ' || format_type(atttypid, atttypmod), E',\n'
            ORDER BY attnum)
        FROM pg_catalog.pg_attribute
        WHERE attrelid = pg_class.oid AND attnum > 0
    ))
    FROM pg_catalog.pg_class
    WHERE relnamespace = (SELECT oid FROM space) AND relkind = 'v'
)
SELECT statement FROM part ORDER BY kind, name COLLATE "C";
