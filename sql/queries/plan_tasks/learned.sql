-- plan_tasks/learned: how long tasks with the names $1 took in real runs: of the newest $2 that were
--     completed of each how many there are, their median, and what one of ten and nine of ten took
--     no longer than. No row for a name that was never completed.
-- State: none.
-- Locks: none.
-- Index: plan_tasks_history, plan_runs_pkey, plan_durations_newest.
SELECT wanted.name, took.runs, took.low, took.median, took.high, took.last_at
FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, nth)
CROSS JOIN LATERAL (
    SELECT count(*) AS runs, max(newest.ended_at) AS last_at,
        percentile_disc(0.1) WITHIN GROUP (ORDER BY newest.took_ms) AS low,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY newest.took_ms) AS median,
        percentile_disc(0.9) WITHIN GROUP (ORDER BY newest.took_ms) AS high
    FROM (
        SELECT every.took_ms, every.ended_at
        FROM (
            (
                SELECT one.took_ms, one.ended_at
                FROM hostler.plan_tasks AS one
                WHERE one.name = wanted.name AND one.took_ms IS NOT NULL
                    AND NOT (
                        SELECT run.rehearsal FROM hostler.plan_runs AS run WHERE run.id = one.run_id
                    )
                ORDER BY one.ended_at DESC
                LIMIT $2
            )
            UNION ALL
            (
                SELECT kept.took_ms, kept.ended_at
                FROM hostler.plan_durations AS kept
                WHERE kept.name = wanted.name
                ORDER BY kept.ended_at DESC
                LIMIT $2
            )
        ) AS every
        ORDER BY every.ended_at DESC
        LIMIT $2
    ) AS newest
) AS took
WHERE took.runs > 0
ORDER BY wanted.nth;
