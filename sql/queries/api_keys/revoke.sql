-- api_keys/revoke: key $1 can't be used any more; one that is revoked stays so since when it was. No row if it
--     is unknown.
-- State: none.
-- Locks: the row.
-- Index: api_keys_pkey.
UPDATE hostler.api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1
RETURNING id, name, hash, scopes, fleets, queues, rate_count, rate_per_ms, created_at, created_by,
    expires_at, revoked_at, last_used_at;
