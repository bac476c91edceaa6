-- notify/cancel: tell every host that the tasks $1 were called off; those that hold them stop them.
-- State: none.
-- Locks: the server's notification queue, at commit.
-- Index: none.
SELECT pg_notify('hostler_cancel', id::text) FROM unnest($1::uuid[]) AS given (id);
