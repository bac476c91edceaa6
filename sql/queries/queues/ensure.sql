-- queues/ensure: make the queues $1, with descriptions $2, paused where $3 says so, with the limits
--     that a config file says: how many may run $4, how many may begin $5 within $6 milliseconds, the
--     same for each key $7 $8 $9, weights $10, fair or not $11. A queue that is there gets the new
--     description and stays paused, or not, as it is; its limits change where the file says
--     something else than when it was last heard. Returns the queues whose rows changed.
-- State: none.
-- Locks: the rows that change, in the order of their names, so that hosts that start together do
--     not wait for each other in a circle.
-- Index: queues_pkey.
INSERT INTO hostler.queues (
    name, description, paused, concurrency, rate_count, rate_per_ms, key_concurrency,
    key_rate_count, key_rate_per_ms, weight, fair, configured
)
SELECT name, description, paused, concurrency, rate_count, rate_per_ms, key_concurrency,
    key_rate_count, key_rate_per_ms, weight, fair,
    jsonb_build_array(
        concurrency, rate_count, rate_per_ms, key_concurrency, key_rate_count, key_rate_per_ms,
        weight, fair
    )
FROM unnest(
    $1::text[], $2::text[], $3::boolean[], $4::integer[], $5::integer[], $6::bigint[],
    $7::integer[], $8::integer[], $9::bigint[], $10::integer[], $11::boolean[]
) AS given (
    name, description, paused, concurrency, rate_count, rate_per_ms, key_concurrency,
    key_rate_count, key_rate_per_ms, weight, fair
)
ORDER BY name
ON CONFLICT (name) DO UPDATE
SET description = EXCLUDED.description, configured = EXCLUDED.configured,
    concurrency = CASE
        WHEN queues.configured IS DISTINCT FROM EXCLUDED.configured THEN EXCLUDED.concurrency
        ELSE queues.concurrency
    END,
    rate_count = CASE
        WHEN queues.configured IS DISTINCT FROM EXCLUDED.configured THEN EXCLUDED.rate_count
        ELSE queues.rate_count
    END,
    rate_per_ms = CASE
        WHEN queues.configured IS DISTINCT FROM EXCLUDED.configured THEN EXCLUDED.rate_per_ms
        ELSE queues.rate_per_ms
    END,
    key_concurrency = CASE
        WHEN queues.configured IS DISTINCT FROM EXCLUDED.configured THEN EXCLUDED.key_concurrency
        ELSE queues.key_concurrency
    END,
    key_rate_count = CASE
        WHEN queues.configured IS DISTINCT FROM EXCLUDED.configured THEN EXCLUDED.key_rate_count
        ELSE queues.key_rate_count
    END,
    key_rate_per_ms = CASE
        WHEN queues.configured IS DISTINCT FROM EXCLUDED.configured THEN EXCLUDED.key_rate_per_ms
        ELSE queues.key_rate_per_ms
    END,
    weight = CASE
        WHEN queues.configured IS DISTINCT FROM EXCLUDED.configured THEN EXCLUDED.weight
        ELSE queues.weight
    END,
    fair = CASE
        WHEN queues.configured IS DISTINCT FROM EXCLUDED.configured THEN EXCLUDED.fair
        ELSE queues.fair
    END
WHERE queues.description <> EXCLUDED.description
    OR queues.configured IS DISTINCT FROM EXCLUDED.configured
RETURNING name;
