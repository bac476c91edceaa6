-- audit/prune: delete up to $2 of the oldest rows that are older than $1 milliseconds.
-- State: none.
-- Locks: the rows.
-- Index: audit_at.
WITH old AS (
    SELECT number FROM hostler.audit
    WHERE at < now() - $1::bigint * interval '1 millisecond'
    ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM hostler.audit USING old WHERE audit.number = old.number RETURNING audit.number;
