-- feed/latest: what the feed has come to: the snapshot of this moment.
-- State: none.
-- Locks: none.
-- Index: none.
SELECT pg_current_snapshot()::text AS seen;
