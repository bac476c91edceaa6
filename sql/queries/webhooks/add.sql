-- webhooks/add: deliveries $1 to the endpoints $2, callbacks at the addresses $3, of the types $4, about
--     the tasks $5, of the bytes $6; those of endpoints that are gone are left out.
-- State: none → pending.
-- Locks: none but those of the key.
-- Index: webhook_deliveries_pkey, webhook_endpoints_pkey.
INSERT INTO hostler.webhook_deliveries (id, endpoint, url, type, task_id, payload)
SELECT asked.id, asked.endpoint, asked.url, asked.type, asked.task_id, asked.payload
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[])
    WITH ORDINALITY AS asked (id, endpoint, url, type, task_id, payload, place)
WHERE EXISTS (SELECT FROM hostler.webhook_endpoints WHERE name = asked.endpoint)
ORDER BY asked.place;
