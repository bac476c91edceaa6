-- webhook_receipts/answer: the request with key $2 of kind $1 was answered with status $3 and $4.
-- State: none.
-- Locks: the row.
-- Index: webhook_receipts_pkey.
UPDATE hostler.webhook_receipts SET status = $3, answer = $4, at = now() WHERE kind = $1 AND key = $2
RETURNING key;
