-- webhooks/endpoints: every endpoint in the order of their names, or the one of the name $1 alone, with how
--     many deliveries wait and how many are dead. Not its secrets.
-- State: none.
-- Locks: none.
-- Index: webhook_endpoints_pkey; webhook_deliveries_order, webhook_deliveries_dead.
SELECT endpoint.name, endpoint.url, endpoint.description, endpoint.filter, endpoint.concurrency,
    endpoint.ordered, endpoint.timeout_ms, endpoint.origin, endpoint.enabled,
    endpoint.disabled_reason,
    CASE WHEN endpoint.not_before > now() THEN endpoint.not_before END AS not_before,
    CASE WHEN endpoint.old_secret_until > now() THEN endpoint.old_secret_until END
        AS old_secret_until,
    endpoint.created_at,
    (
        SELECT count(*) FROM hostler.webhook_deliveries AS delivery
        WHERE delivery.endpoint = endpoint.name AND delivery.state = 'pending'
    ) AS pending,
    (
        SELECT count(*) FROM hostler.webhook_deliveries AS delivery
        WHERE delivery.endpoint = endpoint.name AND delivery.state = 'dead'
    ) AS dead
FROM hostler.webhook_endpoints AS endpoint
WHERE $1::text IS NULL OR endpoint.name = $1
ORDER BY endpoint.name;
