-- limits/list: the limits that are no queue's.
-- State: none.
-- Locks: none.
-- Index: limits is small.
SELECT scope, name, concurrency, rate_count, rate_per_ms FROM hostler.limits WHERE limited ORDER BY scope, name;
