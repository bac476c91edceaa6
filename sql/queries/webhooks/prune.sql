-- webhooks/prune: delete up to $3 deliveries that ended: those that were taken after $1 milliseconds, those
--     that nobody took after $2.
-- State: delivered, dead → none.
-- Locks: the deliveries that nobody has.
-- Index: webhook_deliveries_ended, its oldest end first.
DELETE FROM hostler.webhook_deliveries
WHERE id = ANY (ARRAY(
    SELECT id
    FROM hostler.webhook_deliveries
    WHERE state <> 'pending' AND ended_at < now() - least($1::bigint, $2::bigint) * interval '1 millisecond'
        AND ended_at < now() - CASE state WHEN 'dead' THEN $2::bigint ELSE $1::bigint END
            * interval '1 millisecond'
    ORDER BY ended_at
    LIMIT $3::bigint
    FOR UPDATE SKIP LOCKED
));
