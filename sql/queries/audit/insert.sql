-- audit/insert: add what the host $1 tells: ids $2, times $3, who $4, from where $5, ways $6, operations $7,
--     objects $8, outcomes $9, statuses $10, counts $11, requests $12. One that is there already is left.
-- State: none.
-- Locks: none; after audit/turn.
-- Index: audit_once.
INSERT INTO hostler.audit (
    id, at, host, who, peer, surface, operation, object, outcome, status, count, request
)
SELECT
    told.id, told.at, $1, told.who, told.peer, told.surface, told.operation, told.object,
    told.outcome, told.status, told.count, told.request
FROM unnest(
    $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::integer[], $11::integer[], $12::text[]
) WITH ORDINALITY AS told (
    id, at, who, peer, surface, operation, object, outcome, status, count, request, nth
)
ORDER BY told.nth
ON CONFLICT ON CONSTRAINT audit_once DO NOTHING;
