-- webhooks/release: what the sender $1 has not settled may be sent by anybody, now.
-- State: pending → pending.
-- Locks: the deliveries.
-- Index: webhook_deliveries_pkey, by the list of ids $2.
UPDATE hostler.webhook_deliveries
SET sender = NULL, sent_until = NULL
WHERE id = ANY ($2::uuid[]) AND sender = $1 AND state = 'pending';
