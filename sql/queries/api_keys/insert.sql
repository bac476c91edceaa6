-- api_keys/insert: keep a key: id $1, name $2, hash $3, scopes $4, limited to fleets $5 and queues $6, asks up to
--     $7 times in $8 milliseconds, made by $9, ends at $10 or after $11 milliseconds. Returns it.
-- State: none.
-- Locks: none.
-- Index: api_keys_pkey.
INSERT INTO hostler.api_keys (
    id, name, hash, scopes, fleets, queues, rate_count, rate_per_ms, created_by, expires_at
)
VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9,
    coalesce($10, now() + $11::bigint * interval '1 millisecond')
)
RETURNING id, name, hash, scopes, fleets, queues, rate_count, rate_per_ms, created_at, created_by,
    expires_at, revoked_at, last_used_at;
