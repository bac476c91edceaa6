-- task_members/of_group: up to $6 tasks of group $4, newest first: in the states $1, in queue
--     $2, of kind $3, older than task $5, with a newest failure of class $7, submitted from $8
--     on and before $9; where null, any.
-- State: none.
-- Locks: none.
-- Index: task_members_by_group, read from its newest end; tasks_pkey.
SELECT member.task_id AS id
FROM hostler.task_members AS member
CROSS JOIN LATERAL (
    SELECT FROM hostler.tasks
    WHERE tasks.id = member.task_id AND tasks.state = ANY ($1::hostler.task_state[])
        AND ($2::text IS NULL OR tasks.queue = $2) AND ($3::text IS NULL OR tasks.kind = $3)
        AND ($8::timestamptz IS NULL OR tasks.created_at >= $8)
        AND ($9::timestamptz IS NULL OR tasks.created_at < $9)
        AND (
            $7::hostler.failure_class IS NULL
            OR hostler.newest_failure(tasks.id) = $7
        )
) AS task
WHERE member.group_name = $4
    AND member.task_id < coalesce($5, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
ORDER BY member.task_id DESC
LIMIT $6::bigint;
