-- task_members/of_batch: up to $7 tasks of batch $4, newest first: in the states $1, in queue
--     $2, of kind $3, in group $5, older than task $6, with a newest failure of class $8,
--     submitted from $9 on and before $10; where null, any.
-- State: none.
-- Locks: none.
-- Index: task_members_by_batch, read from its newest end; tasks_pkey.
SELECT member.task_id AS id
FROM hostler.task_members AS member
CROSS JOIN LATERAL (
    SELECT FROM hostler.tasks
    WHERE tasks.id = member.task_id AND tasks.state = ANY ($1::hostler.task_state[])
        AND ($2::text IS NULL OR tasks.queue = $2) AND ($3::text IS NULL OR tasks.kind = $3)
        AND ($9::timestamptz IS NULL OR tasks.created_at >= $9)
        AND ($10::timestamptz IS NULL OR tasks.created_at < $10)
        AND (
            $8::hostler.failure_class IS NULL
            OR hostler.newest_failure(tasks.id) = $8
        )
) AS task
WHERE member.batch_id = $4 AND ($5::text IS NULL OR member.group_name = $5)
    AND member.task_id < coalesce($6, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
ORDER BY member.task_id DESC
LIMIT $7::bigint;
