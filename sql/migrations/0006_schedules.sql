-- breaking: no
-- Schedules: what submits a task at each of its times, and what became of each due time.
CREATE TYPE hostler.schedule_origin AS ENUM ('config', 'api');
CREATE TYPE hostler.schedule_overlap AS ENUM ('skip', 'queue', 'replace');
CREATE TYPE hostler.schedule_catch_up AS ENUM ('none', 'last', 'all');
CREATE TYPE hostler.firing_outcome AS ENUM ('fired', 'by_hand', 'skipped', 'missed', 'failed');

-- `next_at` is when it is due next, and null exactly while it is paused: what is due is found by it
-- alone. Whoever fires moves it in the same transaction. `anchor` is since when its times count.
CREATE TABLE hostler.schedules (
    name          text                      PRIMARY KEY,
    description   text                      NOT NULL,
    origin        hostler.schedule_origin   NOT NULL,
    cron          text,
    every_ms      bigint,
    zone          text                      NOT NULL,
    queue         text                      NOT NULL,
    kind          text                      NOT NULL,
    input         jsonb                     NOT NULL,
    priority      smallint                  NOT NULL,
    max_attempts  integer,
    timeout_ms    bigint,
    overlap       hostler.schedule_overlap  NOT NULL,
    catch_up      hostler.schedule_catch_up NOT NULL,
    catch_up_max  integer                   NOT NULL,
    paused        boolean                   NOT NULL,
    paused_reason text,
    anchor        timestamptz               NOT NULL,
    next_at       timestamptz,
    last_due      timestamptz,
    last_at       timestamptz,
    last_task     uuid,
    created_at    timestamptz               NOT NULL DEFAULT now(),
    changed_at    timestamptz               NOT NULL DEFAULT now(),
    CONSTRAINT schedule_name_is_plain CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    CONSTRAINT schedule_has_one_cadence CHECK (num_nonnulls(cron, every_ms) = 1),
    CONSTRAINT schedule_is_due_unless_paused CHECK (paused = (next_at IS NULL)),
    CONSTRAINT schedule_reason_only_while_paused CHECK (paused OR paused_reason IS NULL),
    CONSTRAINT schedule_numbers_make_sense CHECK (
        every_ms > 0 AND max_attempts >= 1 AND timeout_ms > 0 AND catch_up_max >= 1
    )
);

CREATE INDEX schedules_due ON hostler.schedules (next_at) WHERE next_at IS NOT NULL;

-- One row per due time that has come: no two hosts can fire the same one. The newest of each
-- schedule are kept.
CREATE TABLE hostler.schedule_firings (
    schedule text                   NOT NULL,
    due_at   timestamptz            NOT NULL,
    outcome  hostler.firing_outcome NOT NULL,
    task_id  uuid,
    replaced uuid,
    note     text,
    fired_at timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (schedule, due_at),
    CONSTRAINT firing_has_its_task CHECK ((outcome IN ('fired', 'by_hand')) = (task_id IS NOT NULL))
);

COMMENT ON TABLE hostler.schedules IS 'What submits a task at each of its times. next_at is null while it is paused.';
COMMENT ON TABLE hostler.schedule_firings IS 'What became of each due time of a schedule; the newest of each are kept.';
