-- webhooks/wants: each endpoint that is told of events, with its filter, and since when.
-- State: none.
-- Locks: none.
-- Index: webhook_endpoints_pkey.
SELECT name, filter, created_at
FROM hostler.webhook_endpoints
WHERE enabled AND name <> 'callbacks'
ORDER BY name;
