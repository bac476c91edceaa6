-- schema/exists: whether there is a schema, and whether a first migration has run in it.
-- State: none.
-- Locks: none.
-- Index: none.
SELECT to_regnamespace('hostler') IS NOT NULL AS made,
    to_regclass('hostler.schema_versions') IS NOT NULL AS migrated;
