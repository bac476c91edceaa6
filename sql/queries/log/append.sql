-- log/append: as log/submit for one lane and nobody who takes of it at once, which is most of what comes one
--     by one: half the plan to set up. Append plain tasks to the lane $1 of queue $3, whose newest task has the
--     number $2, with ids $4, kinds $5, inputs $6, most attempts $7, time limits $8 (milliseconds). Returns
--     whether the queue is paused. No row, and appends nothing, where there is no such task, nor was one.
-- State: a new task, pending.
-- Locks: the keys of the tasks: whoever has numbered tasks of the lane from the same place on waits for this
--     commit, and is refused.
-- Index: queues_pkey, log_tasks_pkey, log_cursors_by_place.
WITH place AS MATERIALIZED (
    SELECT queues.paused AND coalesce(queues.paused_until > now(), true) AS paused
    FROM hostler.queues
    WHERE queues.name = $3
        AND coalesce(
            (
                SELECT true
                FROM hostler.log_tasks
                WHERE log_tasks.lane = $1::integer AND log_tasks.number = $2::bigint
                LIMIT 1
            ),
            (
                SELECT true
                FROM hostler.log_cursors
                WHERE log_cursors.lane = $1 AND log_cursors.taken >= $2
                LIMIT 1
            )
        )
), made AS (
    INSERT INTO hostler.log_tasks (lane, number, id, kind, input, max_attempts, timeout_ms)
    SELECT $1, $2 + given.place, given.id, given.kind, given.input, given.max_attempts,
        given.timeout_ms
    FROM place
    CROSS JOIN unnest($4::uuid[], $5::text[], $6::jsonb[], $7::integer[], $8::bigint[])
        WITH ORDINALITY AS given (id, kind, input, max_attempts, timeout_ms, place)
), told AS (
    INSERT INTO hostler.log_feed (step, lane, first, last)
    SELECT 1, $1, $2 + 1, $2 + cardinality($4) FROM place
)
SELECT paused FROM place;
