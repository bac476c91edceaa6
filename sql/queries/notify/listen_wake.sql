-- notify/listen_wake: hear of queues that got work.
-- State: none.
-- Locks: none that last.
-- Index: none.
LISTEN hostler_wake;
