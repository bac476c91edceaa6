-- audit/copy: add what a host tells of itself and its callers; after audit/turn.
-- State: none.
-- Locks: none, but of what it makes.
-- Index: none.
COPY hostler.audit (
    id, at, host, who, peer, surface, operation, object, outcome, status, count, request
) FROM STDIN (FORMAT binary);
