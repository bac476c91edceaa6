-- history/run_rows: delete up to $2 tasks of run $1, and keep how long those took from which is learned.
--     Returns how many there were, and their names. None while somebody else has the run in hand, or if it
--     goes on again.
-- State: none.
-- Locks: the run, SKIP LOCKED, and the rows.
-- Index: plan_runs_pkey, plan_tasks_pkey.
WITH run AS MATERIALIZED (
    SELECT id, rehearsal FROM hostler.plan_runs
    WHERE id = $1 AND ended_at IS NOT NULL
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM hostler.plan_tasks
    WHERE run_id = (SELECT run.id FROM run) AND place = ANY (ARRAY(
        SELECT one.place FROM hostler.plan_tasks AS one
        WHERE one.run_id = $1 ORDER BY one.place LIMIT $2::bigint
    ))
    RETURNING name, ended_at, took_ms
), kept AS (
    INSERT INTO hostler.plan_durations (name, run_id, ended_at, took_ms)
    SELECT gone.name, $1, gone.ended_at, gone.took_ms
    FROM gone
    WHERE gone.took_ms IS NOT NULL AND gone.ended_at IS NOT NULL
        AND NOT (SELECT run.rehearsal FROM run)
    ON CONFLICT ON CONSTRAINT plan_durations_pkey DO NOTHING
)
SELECT (SELECT count(*) FROM gone) AS rows, ARRAY(SELECT gone.name FROM gone) AS names;
