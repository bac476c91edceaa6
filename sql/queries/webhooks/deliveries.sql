-- webhooks/deliveries: up to $5 deliveries, newest first, before the number $4; of the endpoint $1, in the
--     state $2, about the task $3, each unless it is null.
-- State: none.
-- Locks: none.
-- Index: webhook_deliveries_number, newest end first.
SELECT id, number, endpoint, url, type, task_id, state, failures,
    CASE WHEN state = 'pending' THEN due_at END AS due_at, status, problem, created_at, ended_at
FROM hostler.webhook_deliveries
WHERE ($1::text IS NULL OR endpoint = $1)
    AND ($2::hostler.delivery_state IS NULL OR state = $2)
    AND ($3::uuid IS NULL OR task_id = $3)
    AND number < $4::bigint
ORDER BY number DESC
LIMIT $5::bigint;
