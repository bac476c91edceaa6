-- limits/ensure: the limits that a config file says: scopes $1, names $2, how many may run $3, how many
--     may begin $4 within $5 milliseconds. A limit changes where the file says something else than
--     when it was last heard; those of keys that no file names any more go.
-- State: none.
-- Locks: the rows that change, in the order of their names.
-- Index: limits_pkey.
WITH given AS MATERIALIZED (
    SELECT scope, name, concurrency, rate_count, rate_per_ms,
        jsonb_build_array(concurrency, rate_count, rate_per_ms) AS configured
    FROM unnest(
        $1::hostler.limit_scope[], $2::text[], $3::integer[], $4::integer[], $5::bigint[]
    ) AS given (scope, name, concurrency, rate_count, rate_per_ms)
), gone AS (
    DELETE FROM hostler.limits
    WHERE limits.scope = 'key' AND limits.configured IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM given WHERE given.scope = limits.scope AND given.name = limits.name
        )
)
INSERT INTO hostler.limits (scope, name, concurrency, rate_count, rate_per_ms, configured)
SELECT scope, name, concurrency, rate_count, rate_per_ms, configured
FROM given
ORDER BY scope, name
ON CONFLICT (scope, name) DO UPDATE
SET concurrency = EXCLUDED.concurrency, rate_count = EXCLUDED.rate_count,
    rate_per_ms = EXCLUDED.rate_per_ms, configured = EXCLUDED.configured
WHERE limits.configured IS DISTINCT FROM EXCLUDED.configured;
