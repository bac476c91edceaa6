-- plan_runs/open: the runs that go on, oldest first, and whether something of them may have changed
--     since they were last looked at. A change has the time at which its transaction began, and is
--     seen when that commits: so what changed in the ten seconds before the last look is looked at
--     again, and everything once a minute.
-- State: none.
-- Locks: none.
-- Index: plan_runs_open, task_tally_by_scope.
SELECT run.id, run.agents, run.hour_ms, run.rehearsal, run.phased,
    run.looked_at IS NULL OR run.looked_at < now() - interval '1 minute' OR EXISTS (
        SELECT FROM hostler.task_tally AS tally
        WHERE tally.scope = 'group run_' || replace(run.id::text, '-', '')
            AND tally.last_at >= run.looked_at - interval '10 seconds'
    ) AS changed
FROM hostler.plan_runs AS run
WHERE run.ended_at IS NULL
ORDER BY run.id;
