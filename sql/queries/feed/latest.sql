-- feed/latest: what the feed has come to: the snapshot of this moment.
-- State: none.
-- Locks: none.
-- Index: those of hostler.feed_moment: task_events_tx and log_feed_tx, their newest ends; feed_horizon
--     is one row.
SELECT upto::text AS seen FROM hostler.feed_moment();
