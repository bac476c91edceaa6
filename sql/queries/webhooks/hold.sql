-- webhooks/hold: take the place in the feed up to which deliveries are decided, for this transaction:
--     no row if somebody else has it. `cursor` is null if there is none that means anything here.
-- State: none.
-- Locks: the row, unless somebody has it.
-- Index: webhook_feed is one row at the most.
SELECT CASE WHEN known IS NOT NULL THEN cursor END AS cursor
FROM hostler.webhook_feed
FOR UPDATE SKIP LOCKED;
