-- host_events/tell: write down what happened on host $1: types $2, fleets $3, agents $4, reasons $5, details
--     $6, times $7; in their order.
-- State: none.
-- Locks: none.
-- Index: none.
INSERT INTO hostler.host_events (host_id, type, fleet, agent, reason, detail, at)
SELECT $1, type, fleet, agent, reason, detail, at
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::timestamptz[])
    WITH ORDINALITY AS given (type, fleet, agent, reason, detail, at, place)
ORDER BY place;
