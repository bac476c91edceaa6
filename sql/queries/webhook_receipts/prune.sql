-- webhook_receipts/prune: forget up to 10000 requests that are older than $1 milliseconds.
-- State: none.
-- Locks: these rows.
-- Index: webhook_receipts_oldest.
DELETE FROM hostler.webhook_receipts
WHERE (kind, key) IN (
    SELECT kind, key FROM hostler.webhook_receipts
    WHERE at < now() - $1::bigint * interval '1 millisecond' ORDER BY at LIMIT 10000
)
RETURNING key;
