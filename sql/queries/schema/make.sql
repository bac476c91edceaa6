-- schema/make: make the schema that everything is in.
-- State: none.
-- Locks: none.
-- Index: none.
CREATE SCHEMA IF NOT EXISTS hostler;
