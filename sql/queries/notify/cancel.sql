-- notify/cancel: tell every host that task $1 was called off; the one that holds it stops it.
-- State: none.
-- Locks: the server's notification queue, at commit.
-- Index: none.
SELECT pg_notify('hostler_cancel', $1::uuid::text);
