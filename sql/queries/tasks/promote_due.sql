-- tasks/promote_due: make up to $1 tasks pending whose time has come. Returns one row: the queues
--     that got work, and the milliseconds until the next task is due, 0 if there may be more now.
-- State: scheduled -> pending, which is `step(Scheduled, Due)`.
-- Locks: SKIP LOCKED, so that hosts never wait for each other.
-- Index: tasks_scheduled.
WITH due AS MATERIALIZED (
    SELECT id
    FROM hostler.tasks
    WHERE state = 'scheduled' AND run_at <= now()
    ORDER BY run_at
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
), promoted AS (
    UPDATE hostler.tasks
    SET state = 'pending', version = tasks.version + 1
    FROM due
    WHERE tasks.id = due.id
    RETURNING tasks.queue
), next AS (
    SELECT min(run_at) AS run_at FROM hostler.tasks WHERE state = 'scheduled' AND run_at > now()
)
SELECT ARRAY(SELECT DISTINCT queue FROM promoted ORDER BY queue) AS queues,
    CASE
        WHEN (SELECT count(*) FROM due) >= $1 THEN 0
        ELSE ceil(1000 * extract(epoch FROM next.run_at - now()))
    END::bigint AS next_due_ms
FROM next;
