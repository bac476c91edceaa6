-- webhooks/move: deliveries are decided up to the place $1.
-- State: none.
-- Locks: the row, which the caller has.
-- Index: webhook_feed is one row.
UPDATE hostler.webhook_feed SET cursor = $1, known = pg_current_xact_id();
