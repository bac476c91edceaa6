-- tasks/retry_many: give those of the tasks $1 another round of attempts that are in one of the
--     states $2, in queue $3 if that is not null. The first can run $4 microseconds from now, each
--     further one $5 microseconds after the one before. Returns them, their queues and their states.
-- State: failed, cancelled -> pending, which is `step(_, Retried)`, or -> scheduled, which is
--     `step(_, Deferred)`, if it is to wait; -> blocked, by a trigger, where it depends on a task that
--     is not done, which is `step(_, RetriedEarly)`. Any other stays as it is.
-- Locks: the tasks, in the order of their ids; of one that depends on others then these, as in
--     tasks/retry. So each of those is sent alone.
-- Index: tasks_pkey, by lists of ids. width_bucket finds the place of a task by bisection.
WITH found AS MATERIALIZED (
    SELECT id
    FROM hostler.tasks
    WHERE id = ANY ($1::uuid[]) AND state = ANY ($2::hostler.task_state[])
        AND state IN ('failed', 'cancelled')
    ORDER BY id
    FOR UPDATE
), sorted AS MATERIALIZED (
    SELECT array_agg(found.id ORDER BY found.id) AS ids FROM found
)
UPDATE hostler.tasks
SET queue = coalesce($3::text, queue),
    state = CASE
        WHEN $4::bigint + $5::bigint * (width_bucket(id, (SELECT ids FROM sorted)) - 1) > 0
        THEN 'scheduled' ELSE 'pending'
    END::hostler.task_state,
    version = version + 1, failures = 0, finished_at = NULL,
    run_at = now() + interval '1 microsecond'
        * ($4 + $5 * (width_bucket(id, (SELECT ids FROM sorted)) - 1))
WHERE id = ANY (ARRAY(SELECT found.id FROM found))
RETURNING id, queue, state;
