-- webhooks/replay: send again, from the beginning of the schedule: the delivery $1, or, where that is null,
--     up to $3 dead ones of the endpoint $2, oldest first. One that is on its way stays.
-- State: delivered, dead → pending.
-- Locks: the deliveries.
-- Index: webhook_deliveries_pkey, or webhook_deliveries_dead.
WITH chosen AS MATERIALIZED (
    (SELECT id FROM hostler.webhook_deliveries WHERE id = $1::uuid AND state <> 'pending')
    UNION ALL
    (
        SELECT id
        FROM hostler.webhook_deliveries
        WHERE $1::uuid IS NULL AND endpoint = $2::text AND state = 'dead'
        ORDER BY number
        LIMIT $3::bigint
    )
)
UPDATE hostler.webhook_deliveries AS again
SET state = 'pending', failures = 0, due_at = now(), ended_at = NULL, problem = NULL
WHERE again.id = ANY (ARRAY(SELECT chosen.id FROM chosen)) AND again.state <> 'pending'
RETURNING again.id;
