-- queues/rules: what is limited or held back of each queue, and what time it is.
-- State: none.
-- Locks: none.
-- Index: queues is small.
SELECT clock_timestamp() AS now, name, concurrency, rate_count, rate_per_ms, key_concurrency,
    key_rate_count, key_rate_per_ms, weight, fair,
    paused AND coalesce(paused_until > now(), true) AS paused, paused_reason, paused_until
FROM hostler.queues;
