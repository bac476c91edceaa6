-- api_keys/list: every key, the newest last.
-- State: none.
-- Locks: none.
-- Index: api_keys is small.
SELECT id, name, hash, scopes, fleets, queues, rate_count, rate_per_ms, created_at, created_by,
    expires_at, revoked_at, last_used_at
FROM hostler.api_keys ORDER BY created_at, id;
