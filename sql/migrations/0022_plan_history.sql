-- breaking: no
-- Runs of plans have a term. What is learned from them stays.

-- How long tasks of real runs took, of runs that were deleted: the newest of each name. Those of runs that are
-- there stand in `plan_tasks`.
CREATE TABLE hostler.plan_durations (
    name     text COLLATE "C" NOT NULL,
    run_id   uuid             NOT NULL,
    ended_at timestamptz      NOT NULL,
    took_ms  bigint           NOT NULL,
    PRIMARY KEY (name, run_id),
    CONSTRAINT plan_duration_makes_sense CHECK (took_ms >= 0)
);
CREATE INDEX plan_durations_newest ON hostler.plan_durations (name, ended_at);

COMMENT ON TABLE hostler.plan_durations IS
    'How long tasks of plans took in real runs that were deleted since: the newest of each name.';
