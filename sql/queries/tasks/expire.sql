-- tasks/expire: fail up to $1 tasks that nobody holds and whose deadline has passed. Returns them.
-- State: blocked, scheduled, pending -> failed, which is `step(_, Expired)`.
-- Locks: the tasks, with SKIP LOCKED; one that is being claimed or changed is left for the next time.
-- Index: tasks_deadline, then tasks_pkey by the list of ids; task_failures_pkey.
WITH late AS MATERIALIZED (
    SELECT id
    FROM hostler.tasks
    WHERE deadline <= now() AND deadline IS NOT NULL
        AND state IN ('blocked', 'scheduled', 'pending')
    ORDER BY deadline
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
), expired AS (
    UPDATE hostler.tasks
    SET state = 'failed', finished_at = now(), version = version + 1
    WHERE id = ANY (ARRAY(SELECT late.id FROM late))
    RETURNING id, attempt, failures, deadline
), told AS (
    INSERT INTO hostler.task_failures (task_id, attempt, class, message, detail)
    SELECT id, attempt, 'deadline',
        'its deadline passed ' || CASE
            WHEN attempt = 0 THEN 'before its first attempt began'
            WHEN failures > 0 THEN 'while it waited for another attempt'
            ELSE 'while it waited to go on'
        END,
        jsonb_build_object('deadline', deadline)
    FROM expired
    ON CONFLICT (task_id) DO UPDATE
    SET attempt = EXCLUDED.attempt, class = EXCLUDED.class, message = EXCLUDED.message,
        detail = EXCLUDED.detail
)
SELECT id FROM expired ORDER BY id;
