-- schema/versions: the migrations that have run.
-- State: none.
-- Locks: none.
-- Index: schema_versions_pkey.
SELECT version, breaking, reason FROM hostler.schema_versions ORDER BY version;
