-- plan_runs/create: make run $1 with title $2, plan $3, for $4 agents, an hour of which takes $5
--     milliseconds, a rehearsal or not $6, phased or not $7, with its figures (milliseconds of the
--     plan): one after the other $8, makespan $9, bound $10, found by $11; under key $12, if that
--     is not null. It is expected to end with its makespan. Returns the run that has the key, and
--     whether it was made.
-- State: none.
-- Locks: the row; one with the same key, until it is committed.
-- Index: plan_runs_pkey, plan_runs_idempotency_key.
WITH made AS (
    INSERT INTO hostler.plan_runs (
        id, title, plan, agents, hour_ms, rehearsal, phased, sequential_ms, makespan_ms, bound_ms,
        found_by, idempotency_key, expected_end_at
    )
    VALUES (
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
        now() + $9::bigint * ($5::bigint / 3600000.0) * interval '1 millisecond'
    )
    ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id
)
SELECT id, true AS created FROM made
UNION ALL
SELECT id, false FROM hostler.plan_runs
WHERE idempotency_key = $12 AND NOT EXISTS (SELECT FROM made);
