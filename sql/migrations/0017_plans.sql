-- breaking: no
-- Runs of plans: what was planned, which task of the queue stands for which task of the plan, and how
-- each ended. A run outlives the hosts and clients that began it, and the tasks that it made.

-- Times of a plan are milliseconds from its start; `hour_ms` is how many milliseconds of the clock an
-- hour of the plan takes. `plan` is the plan as it is carried out, as a plan file. `critical` and
-- `expected_end_at` are as of `looked_at`, when the leader last looked.
CREATE TABLE hostler.plan_runs (
    id              uuid        PRIMARY KEY,
    title           text        NOT NULL,
    plan            text        NOT NULL,
    agents          integer     NOT NULL,
    hour_ms         bigint      NOT NULL,
    rehearsal       boolean     NOT NULL,
    phased          boolean     NOT NULL,
    sequential_ms   bigint      NOT NULL,
    makespan_ms     bigint      NOT NULL,
    bound_ms        bigint      NOT NULL,
    found_by        text        NOT NULL,
    idempotency_key text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    looked_at       timestamptz,
    expected_end_at timestamptz,
    replanned       integer     NOT NULL DEFAULT 0,
    paused_at       timestamptz,
    paused_reason   text,
    cancelled_at    timestamptz,
    ended_at        timestamptz,
    CONSTRAINT run_numbers_make_sense CHECK (
        agents >= 1 AND hour_ms >= 1 AND replanned >= 0 AND bound_ms BETWEEN 0 AND makespan_ms
    ),
    CONSTRAINT run_reason_only_while_paused CHECK (paused_at IS NOT NULL OR paused_reason IS NULL),
    CONSTRAINT run_key_is_short CHECK (length(idempotency_key) BETWEEN 1 AND 255)
);
CREATE INDEX plan_runs_open ON hostler.plan_runs (id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX plan_runs_idempotency_key ON hostler.plan_runs (idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- `place` is where the task stands in the plan, `depends_on` are places. `gate_id` is the task that
-- ends when a person allows this one. `queue` is where its agents are: one with a condition gets there
-- once it is `decided` that it is to be done. What is below `skipped_at` is written once the task has ended.
CREATE TABLE hostler.plan_tasks (
    run_id      uuid             NOT NULL,
    place       integer          NOT NULL,
    name        text COLLATE "C" NOT NULL,
    title       text             NOT NULL,
    phase       text,
    human       boolean          NOT NULL,
    depends_on  integer[]        NOT NULL,
    task_id     uuid             NOT NULL,
    gate_id     uuid,
    planned_ms  bigint           NOT NULL,
    start_ms    bigint           NOT NULL,
    finish_ms   bigint           NOT NULL,
    worker      text             NOT NULL,
    critical    boolean          NOT NULL,
    queue       text             NOT NULL,
    condition   text,
    decided     boolean,
    skipped_at  timestamptz,
    state       hostler.task_state,
    ready_at    timestamptz,
    began_at    timestamptz,
    ended_at    timestamptz,
    agent       text,
    took_ms     bigint,
    PRIMARY KEY (run_id, place),
    CONSTRAINT plan_task_decides_by_something CHECK (condition IS NOT NULL OR decided IS NULL),
    CONSTRAINT plan_task_ends_for_good CHECK (state IN ('completed', 'failed', 'cancelled')),
    CONSTRAINT plan_task_times_make_sense CHECK (
        least(planned_ms, start_ms) >= 0 AND finish_ms >= start_ms AND took_ms >= 0
    )
);
CREATE UNIQUE INDEX plan_tasks_by_name ON hostler.plan_tasks (run_id, name);
CREATE INDEX plan_tasks_by_task ON hostler.plan_tasks (task_id);
-- What is learned from: how long tasks of a name took.
CREATE INDEX plan_tasks_history ON hostler.plan_tasks (name, ended_at) WHERE took_ms IS NOT NULL;

-- Ends pending tasks without an agent: a person did them, allowed them, or said that they are not to
-- be done. They go the way of every task, from pending to running to their end, in one moment.
-- Returns those that it ended.
CREATE FUNCTION hostler.end_by_hand(
    ids uuid[], person text, end_state hostler.task_state, output jsonb, message text
) RETURNS uuid[]
LANGUAGE plpgsql
SET enable_seqscan TO 'off'
AS $$
DECLARE
    held uuid[];
BEGIN
    SELECT coalesce(array_agg(found.id), '{}') INTO held FROM (
        SELECT tasks.id FROM hostler.tasks
        WHERE tasks.id = ANY (ids) AND tasks.state IS NOT DISTINCT FROM 'pending'
        ORDER BY tasks.id
        FOR UPDATE
    ) AS found;
    UPDATE hostler.tasks
    SET state = 'running', version = tasks.version + 1, attempt = tasks.attempt + 1,
        host_id = '00000000-0000-0000-0000-000000000000', agent = person, started_at = now()
    WHERE tasks.id = ANY (held);
    INSERT INTO hostler.attempts (
        task_id, attempt, outcome, class, message, detail, host_id, agent, started_at
    )
    SELECT tasks.id, tasks.attempt,
        (CASE WHEN end_state = 'completed' THEN 'completed' ELSE 'failed' END)::hostler.attempt_outcome,
        (CASE WHEN end_state = 'failed' THEN 'task' END)::hostler.failure_class,
        CASE WHEN end_state = 'failed' THEN end_by_hand.message END,
        CASE WHEN end_state = 'failed' THEN 'null'::jsonb END,
        tasks.host_id, person, tasks.started_at
    FROM hostler.tasks WHERE tasks.id = ANY (held);
    INSERT INTO hostler.task_results (task_id, output)
    SELECT unnest(held), coalesce(end_by_hand.output, 'null'::jsonb) WHERE end_state = 'completed';
    UPDATE hostler.tasks
    SET state = end_state, version = tasks.version + 1, finished_at = now(),
        failures = tasks.failures + (end_state = 'failed')::integer,
        host_id = NULL, agent = NULL, started_at = NULL
    WHERE tasks.id = ANY (held);
    RETURN held;
END
$$;

COMMENT ON TABLE hostler.plan_runs IS 'Runs of plans: what was planned, and how it stands. ended_at is null while it goes on.';
COMMENT ON TABLE hostler.plan_tasks IS 'The tasks of runs of plans: which task of the queue each is, what was planned of it, and how it ended.';
COMMENT ON FUNCTION hostler.end_by_hand(uuid[], text, hostler.task_state, jsonb, text) IS
    'Ends pending tasks without an agent, as completed or failed; returns those that it ended.';
