-- webhooks/settle: the delivery $1 of the sender $2 is in state $3 now, with $4 failures, the status $5 and
--     the problem $6; while pending it is due in $7 milliseconds. Where $8 says so, nothing is sent to
--     its endpoint for so many milliseconds; where $9 has a reason, its endpoint is disabled for that.
-- State: pending → $3.
-- Locks: the delivery; its endpoint where that changes.
-- Index: webhook_deliveries_pkey, webhook_endpoints_pkey.
WITH done AS (
    UPDATE hostler.webhook_deliveries
    SET state = $3, failures = $4, status = $5, problem = $6, sender = NULL, sent_until = NULL,
        due_at = now() + $7::bigint * interval '1 millisecond',
        ended_at = CASE WHEN $3 <> 'pending'::hostler.delivery_state THEN now() END
    WHERE id = $1 AND sender = $2 AND state = 'pending'
    RETURNING endpoint
), held AS (
    UPDATE hostler.webhook_endpoints
    SET not_before = greatest(not_before, now() + $8::bigint * interval '1 millisecond'),
        enabled = enabled AND $9::text IS NULL,
        disabled_reason = CASE WHEN enabled THEN $9::text ELSE disabled_reason END
    WHERE ($8::bigint IS NOT NULL OR $9::text IS NOT NULL) AND name = ANY (ARRAY(SELECT endpoint FROM done))
)
SELECT endpoint FROM done;
