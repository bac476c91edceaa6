-- webhooks/find: the delivery $1.
-- State: none.
-- Locks: none.
-- Index: webhook_deliveries_pkey.
SELECT id, number, endpoint, url, type, task_id, state, failures,
    CASE WHEN state = 'pending' THEN due_at END AS due_at, status, problem, created_at, ended_at
FROM hostler.webhook_deliveries
WHERE id = $1;
