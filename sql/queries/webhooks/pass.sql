-- webhooks/pass: as webhooks/move, where nobody is to be told anything: the commit does not wait for the disk.
--     Whoever finds the place of before again has steps of which it still tells nobody.
-- State: none.
-- Locks: the row, which the caller has.
-- Index: webhook_feed is one row.
UPDATE hostler.webhook_feed SET cursor = $1, known = pg_current_xact_id()
WHERE set_config('synchronous_commit', 'off', true) = 'off';
