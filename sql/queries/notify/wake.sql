-- notify/wake: tell every host that the queues $1 got work; `!` among them says that something was
--     freed that tasks of any queue may wait for. Never in the transaction that
--     submits: a commit with a NOTIFY holds a lock of the whole server while it is flushed.
-- State: none.
-- Locks: the server's notification queue, at commit.
-- Index: none.
SELECT pg_notify('hostler_wake', name) FROM unnest($1::text[]) AS given (name);
