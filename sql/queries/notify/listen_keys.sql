-- notify/listen_keys: hear that API keys changed.
-- State: none.
-- Locks: none that last.
-- Index: none.
LISTEN hostler_keys;
