-- log/append: as log/submit for one lane and nobody who takes of it at once, which is most of what comes one
--     by one: half the plan to set up. Append plain tasks to the lane $1 of queue $3, whose newest task has the
--     number $2, with ids $4, kinds $5, inputs $6, most attempts $7, time limits $8 (milliseconds). Returns
--     whether the queue is paused.
-- State: a new task, pending.
-- Locks: the keys of the tasks: whoever has numbered tasks of the lane from the same place on waits for this
--     commit, and is refused.
-- Index: queues_pkey.
WITH made AS (
    INSERT INTO hostler.log_tasks (lane, number, id, kind, input, max_attempts, timeout_ms)
    SELECT $1::integer, $2::bigint + given.place, given.id, given.kind, given.input,
        given.max_attempts, given.timeout_ms
    FROM unnest($4::uuid[], $5::text[], $6::jsonb[], $7::integer[], $8::bigint[])
        WITH ORDINALITY AS given (id, kind, input, max_attempts, timeout_ms, place)
), told AS (
    INSERT INTO hostler.log_feed (step, lane, first, last)
    SELECT 1, $1, $2 + 1, $2 + cardinality($4)
    WHERE cardinality($4) > 0
)
SELECT queues.paused AND coalesce(queues.paused_until > now(), true) AS paused
FROM hostler.queues
WHERE queues.name = $3;
