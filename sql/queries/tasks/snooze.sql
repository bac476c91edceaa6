-- tasks/snooze: put task $1 off until $2, or, where that is null, for $3 milliseconds. Returns where
--     it was; no row if it is unknown.
-- State: pending -> scheduled, which is `step(Pending, Deferred)`. A scheduled one stays that, with
--     another time. Any other stays as it is.
-- Locks: the task's row.
-- Index: tasks_pkey.
WITH found AS MATERIALIZED (
    SELECT id, state FROM hostler.tasks WHERE id = $1 FOR UPDATE
), changed AS (
    UPDATE hostler.tasks
    SET state = 'scheduled', version = version + (state = 'pending')::integer,
        run_at = coalesce($2::timestamptz, now() + $3::bigint * interval '1 millisecond')
    WHERE id = (SELECT found.id FROM found) AND state IN ('pending', 'scheduled')
)
SELECT state FROM found;
