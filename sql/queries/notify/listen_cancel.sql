-- notify/listen_cancel: hear of tasks that were called off.
-- State: none.
-- Locks: none that last.
-- Index: none.
LISTEN hostler_cancel;
