-- webhook_receipts/release: the request with key $2 of kind $1 came to nothing; the next may try again.
-- State: none.
-- Locks: the row.
-- Index: webhook_receipts_pkey.
DELETE FROM hostler.webhook_receipts WHERE kind = $1 AND key = $2 AND status IS NULL RETURNING key;
