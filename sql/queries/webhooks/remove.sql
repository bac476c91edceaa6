-- webhooks/remove: take out the endpoint $1, with its deliveries.
-- State: none.
-- Locks: the row, and those of its deliveries.
-- Index: webhook_endpoints_pkey; webhook_deliveries_order, webhook_deliveries_dead.
DELETE FROM hostler.webhook_endpoints WHERE name = $1 RETURNING name;
