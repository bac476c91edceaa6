-- rate_starts/forget: delete up to $1 rows of what began before the longest window of all rates that
--     there are now, and a minute more: somebody may be choosing by a clock of a moment ago. A key that
--     is never used again has nobody else who does. Returns them.
-- State: none.
-- Locks: the rows, SKIP LOCKED: whoever chooses deletes what it meets by itself, and is not waited for.
-- Index: rate_starts_pkey, the whole of it: else it has what began within the windows.
WITH longest AS MATERIALIZED (
    SELECT greatest(
            (SELECT max(greatest(rate_per_ms, key_rate_per_ms)) FROM hostler.queues),
            (SELECT max(rate_per_ms) FROM hostler.limits),
            0
        ) AS per_ms
), old AS MATERIALIZED (
    SELECT scope, at
    FROM hostler.rate_starts
    WHERE at < now() - interval '1 minute'
        - (SELECT per_ms FROM longest) * interval '1 millisecond'
    ORDER BY scope, at
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
)
DELETE FROM hostler.rate_starts
USING old
WHERE rate_starts.scope = old.scope AND rate_starts.at = old.at
RETURNING rate_starts.scope;
