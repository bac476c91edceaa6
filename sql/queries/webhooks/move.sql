-- webhooks/move: deliveries are decided up to the place $1. The commit waits for the disk if $2: where nobody is to be
--     told anything it need not, for whoever finds the place of before again still tells nobody.
-- State: none.
-- Locks: the row, which the caller has.
-- Index: webhook_feed is one row.
UPDATE hostler.webhook_feed SET cursor = $1, known = pg_current_xact_id()
WHERE CASE WHEN $2 THEN true ELSE set_config('synchronous_commit', 'off', true) = 'off' END;
