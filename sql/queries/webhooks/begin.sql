-- webhooks/begin: make the row that holds the place, if there is none, with this moment in it.
-- State: none.
-- Locks: the row.
-- Index: webhook_feed_pkey.
INSERT INTO hostler.webhook_feed (cursor, known)
VALUES ($1, pg_current_xact_id())
ON CONFLICT (one) DO NOTHING;
