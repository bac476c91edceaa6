-- webhooks/rotate: the endpoint $1 gets the secret $2; its old one signs, too, for $3 milliseconds more.
-- State: none.
-- Locks: the row.
-- Index: webhook_endpoints_pkey.
UPDATE hostler.webhook_endpoints
SET old_secret = secret, old_secret_until = now() + $3::bigint * interval '1 millisecond',
    secret = $2
WHERE name = $1
RETURNING name;
