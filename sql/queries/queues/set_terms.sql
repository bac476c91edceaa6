-- queues/set_terms: write down what tasks of the queues $1 get that do not say otherwise: most
--     attempts $2, time limits $3 (milliseconds), retry policies $4. The queue '' is for those that
--     are not there. Read by functions for SQL alone; the host that started last has the say.
-- State: none.
-- Locks: the rows that change, in the order of the queues, as in queues/ensure.
-- Index: queue_terms_pkey.
INSERT INTO hostler.queue_terms (queue, max_attempts, timeout_ms, retry)
SELECT queue, max_attempts, timeout_ms, retry
FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::jsonb[])
    AS given (queue, max_attempts, timeout_ms, retry)
ORDER BY queue
ON CONFLICT (queue) DO UPDATE
SET max_attempts = EXCLUDED.max_attempts, timeout_ms = EXCLUDED.timeout_ms, retry = EXCLUDED.retry
WHERE (queue_terms.max_attempts, queue_terms.timeout_ms, queue_terms.retry)
    IS DISTINCT FROM (EXCLUDED.max_attempts, EXCLUDED.timeout_ms, EXCLUDED.retry);
