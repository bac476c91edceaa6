-- webhooks/put: make the endpoint $1, or change it: address $2, description $3, filter $4, secret $5,
--     concurrency $6, order $7, time limit $8 (milliseconds), origin $9. One that is there keeps its
--     secret where $10 says so. Returns whether it was made.
-- State: none.
-- Locks: the row.
-- Index: webhook_endpoints_pkey.
INSERT INTO hostler.webhook_endpoints (
    name, url, description, filter, secret, concurrency, ordered, timeout_ms, origin
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (name) DO UPDATE
SET url = EXCLUDED.url, description = EXCLUDED.description, filter = EXCLUDED.filter,
    concurrency = EXCLUDED.concurrency, ordered = EXCLUDED.ordered,
    timeout_ms = EXCLUDED.timeout_ms, origin = EXCLUDED.origin,
    secret = CASE WHEN $10::boolean THEN webhook_endpoints.secret ELSE EXCLUDED.secret END
RETURNING xmax = 0 AS created;
