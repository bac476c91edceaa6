-- webhooks/add_callbacks: the ends of the tasks $1 are to be told at the addresses $2. $3 is the secret of
--     the endpoint for callbacks, if that is not there yet, $4 how many are sent at once, $5 how long
--     an answer may take.
-- State: none.
-- Locks: the rows.
-- Index: webhook_callbacks_pkey, webhook_endpoints_pkey.
WITH made AS (
    INSERT INTO hostler.webhook_endpoints (
        name, description, secret, concurrency, ordered, timeout_ms, origin
    )
    SELECT 'callbacks', 'callback URLs of single tasks', $3::text, $4::integer, false, $5::integer, 'api'
    WHERE NOT EXISTS (SELECT FROM hostler.webhook_endpoints WHERE name = 'callbacks')
    ON CONFLICT (name) DO NOTHING
)
INSERT INTO hostler.webhook_callbacks (task_id, url)
SELECT id, url FROM unnest($1::uuid[], $2::text[]) AS asked (id, url)
ON CONFLICT (task_id) DO NOTHING;
