-- dead_letter_notes/list: up to $9 failed tasks, newest first, with what was done about each: in queue
--     $1, of kind $2, in group $3, of batch $4, submitted from $6 on and before $7, older than
--     task $8, and, where null, any; with a newest failure of class $5; those that were discarded
--     only where $10 says so.
-- State: none.
-- Locks: none.
-- Index: tasks_listed, once per queue, from its newest end, so that what did not fail costs
--     nothing. What a filter passes over is looked at.
SELECT newest.id, coalesce(letter.redrives, 0) AS redrives, letter.redriven_at,
    letter.discarded_at, letter.discard_reason
FROM hostler.queues
CROSS JOIN LATERAL (
    SELECT tasks.id
    FROM hostler.tasks
    WHERE tasks.queue = queues.name AND tasks.state = 'failed'
        AND tasks.id < coalesce($8, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
        AND ($2::text IS NULL OR tasks.kind = $2)
        AND ($6::timestamptz IS NULL OR tasks.created_at >= $6)
        AND ($7::timestamptz IS NULL OR tasks.created_at < $7)
        AND (
            coalesce($3::text, $4::uuid::text) IS NULL
            OR EXISTS (
                SELECT FROM hostler.task_members AS member
                WHERE member.task_id = tasks.id
                    AND ($3 IS NULL OR member.group_name = $3)
                    AND ($4 IS NULL OR member.batch_id = $4)
            )
        )
        AND (
            $5::hostler.failure_class IS NULL
            OR hostler.newest_failure(tasks.id) = $5
        )
        AND (
            $10
            OR NOT EXISTS (
                SELECT FROM hostler.dead_letter_notes AS other
                WHERE other.task_id = tasks.id AND other.discarded_at IS NOT NULL
            )
        )
    ORDER BY tasks.id DESC
    LIMIT $9::bigint
) AS newest
LEFT JOIN hostler.dead_letter_notes AS letter ON letter.task_id = newest.id
WHERE $1::text IS NULL OR queues.name = $1
ORDER BY newest.id DESC
LIMIT $9;
