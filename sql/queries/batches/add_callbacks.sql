-- batches/add_callbacks: what is submitted once the batch $1 is done: at the ends $2, into the
--     queues $3, kinds $4, inputs $5, priorities $6, most attempts $7, time limits $8 and limits of
--     silence $9 (milliseconds).
-- State: none.
-- Locks: none that anybody waits for: the batch is new.
-- Index: batch_callbacks_pkey.
INSERT INTO hostler.batch_callbacks (
    batch_id, on_end, queue, kind, input, priority, max_attempts, timeout_ms, stale_after_ms
)
SELECT $1, on_end, queue, kind, input, priority, max_attempts, timeout_ms, stale_after_ms
FROM unnest(
    $2::hostler.batch_end[], $3::text[], $4::text[], $5::jsonb[], $6::smallint[], $7::integer[],
    $8::bigint[], $9::bigint[]
) AS given (on_end, queue, kind, input, priority, max_attempts, timeout_ms, stale_after_ms);
