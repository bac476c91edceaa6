-- webhooks/claim: take up to $2 deliveries that are due for the sender $1, who has for each until its
--     endpoint's time limit and $3 milliseconds more have passed. Of an endpoint no more are on their
--     way than it says; of one that is ordered none but the oldest, and that one only when it is due.
-- State: pending → pending.
-- Locks: the endpoints, those that nobody has; then the deliveries.
-- Index: webhook_endpoints_pkey; webhook_deliveries_due and webhook_deliveries_order.
WITH free AS MATERIALIZED (
    SELECT endpoint.*
    FROM hostler.webhook_endpoints AS endpoint
    WHERE endpoint.enabled AND coalesce(endpoint.not_before <= now(), true)
    FOR UPDATE SKIP LOCKED
), room AS MATERIALIZED (
    SELECT free.*, free.concurrency - (
        SELECT count(*)
        FROM hostler.webhook_deliveries AS sent
        WHERE sent.endpoint = free.name AND sent.state = 'pending' AND sent.sent_until > now()
    ) AS places
    FROM free
), due AS MATERIALIZED (
    SELECT one.id
    FROM room
    CROSS JOIN LATERAL (
        (
            SELECT oldest.id
            FROM (
                SELECT delivery.id, delivery.due_at, delivery.sent_until
                FROM hostler.webhook_deliveries AS delivery
                WHERE delivery.endpoint = room.name AND delivery.state = 'pending'
                    AND room.ordered
                ORDER BY delivery.number
                LIMIT 1
            ) AS oldest
            WHERE oldest.due_at <= now() AND coalesce(oldest.sent_until <= now(), true)
        )
        UNION ALL
        (
            SELECT delivery.id
            FROM hostler.webhook_deliveries AS delivery
            WHERE delivery.endpoint = room.name AND delivery.state = 'pending'
                AND NOT room.ordered AND delivery.due_at <= now()
                AND coalesce(delivery.sent_until <= now(), true)
            ORDER BY delivery.due_at, delivery.number
            LIMIT greatest(room.places, 0)
        )
    ) AS one
    LIMIT $2::bigint
)
UPDATE hostler.webhook_deliveries AS taken
SET sender = $1, sent_until = now() + ($3::bigint + room.timeout_ms) * interval '1 millisecond'
FROM room
WHERE taken.id = ANY (ARRAY(SELECT due.id FROM due)) AND room.name = taken.endpoint
    AND taken.state = 'pending' AND taken.due_at <= now()
    AND coalesce(taken.sent_until <= now(), true)
RETURNING taken.id, taken.number, taken.endpoint, coalesce(taken.url, room.url) AS url, taken.type,
    taken.payload, taken.failures, room.timeout_ms, room.secret,
    CASE WHEN room.old_secret_until > now() THEN room.old_secret END AS old_secret,
    (extract(epoch FROM now() - taken.created_at) * 1000)::bigint AS age_ms;
