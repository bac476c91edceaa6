-- limits/set: change the limit of scope $1 and name $2, and leave what is not named: how many may run to
--     $4 if $3; how many may begin to $6 within $7 milliseconds if $5. Returns the limit.
-- State: none: what runs goes on.
-- Locks: the row.
-- Index: limits_pkey.
INSERT INTO hostler.limits (scope, name, concurrency, rate_count, rate_per_ms)
VALUES ($1, $2, $4, $6, $7)
ON CONFLICT (scope, name) DO UPDATE
SET concurrency = CASE WHEN $3 THEN EXCLUDED.concurrency ELSE limits.concurrency END,
    rate_count = CASE WHEN $5 THEN EXCLUDED.rate_count ELSE limits.rate_count END,
    rate_per_ms = CASE WHEN $5 THEN EXCLUDED.rate_per_ms ELSE limits.rate_per_ms END
RETURNING scope, name, concurrency, rate_count, rate_per_ms;
