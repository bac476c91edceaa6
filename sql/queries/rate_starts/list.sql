-- rate_starts/list: what began lately under the scopes $1.
-- State: none.
-- Locks: none.
-- Index: rate_starts_pkey, once per scope.
SELECT starts.scope, starts.at, starts.count
FROM unnest($1::text[]) AS wanted (scope)
CROSS JOIN LATERAL (
    SELECT rate_starts.scope, rate_starts.at, rate_starts.count
    FROM hostler.rate_starts
    WHERE rate_starts.scope = wanted.scope
) AS starts;
