-- webhooks/enable: the endpoint $1 is told again, or, where $2 has a reason, no more.
-- State: none.
-- Locks: the row.
-- Index: webhook_endpoints_pkey.
UPDATE hostler.webhook_endpoints
SET enabled = $2::text IS NULL, disabled_reason = $2::text,
    not_before = CASE WHEN $2::text IS NOT NULL THEN not_before END
WHERE name = $1
RETURNING name;
