-- webhooks/quiet: whether there is nobody to be told anything, and nothing on its way to anybody: no endpoint
--     is enabled, no task has a callback, no delivery is pending.
-- State: none.
-- Locks: none.
-- Index: webhook_endpoints_pkey, webhook_callbacks_pkey, webhook_deliveries_due.
SELECT NOT EXISTS (
    SELECT FROM hostler.webhook_endpoints WHERE enabled AND name <> 'callbacks'
) AND NOT EXISTS (
    SELECT FROM hostler.webhook_callbacks
) AND NOT EXISTS (
    SELECT FROM hostler.webhook_deliveries WHERE state = 'pending'
) AS quiet;
