-- audit/there: which of the ids $1 are there.
-- State: none.
-- Locks: none; after audit/turn.
-- Index: audit_once.
SELECT id FROM hostler.audit WHERE id = ANY ($1::uuid[]);
