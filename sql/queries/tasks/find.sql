-- tasks/find: a step of a search through many tasks, in the order of their ids: looks at up to $12
--     tasks after task $11, and returns those that are in one of the states $1, in queue $2, of kind
--     $3, in group $4, of batch $5, submitted from $7 on and before $8, of the tasks $9, and, where
--     null, any; with a newest failure of class $6; none that runs and was asked to stop; failed ones that were discarded only where $10
--     says so. And after which task to go on; null if that was all.
-- State: none.
-- Locks: none: whoever changes them looks again.
-- Index: the list $9 itself, else task_members_by_batch or task_members_by_group, else tasks_listed,
--     once per queue and state; then tasks_pkey, by a list of ids. However few are found, it looks at
--     no more than a bounded number.
WITH looked AS MATERIALIZED (
    SELECT each.id
    FROM (
        SELECT listed.id
        FROM hostler.queues
        CROSS JOIN unnest($1::hostler.task_state[]) AS wanted (state)
        CROSS JOIN LATERAL (
            SELECT tasks.id
            FROM hostler.tasks
            WHERE tasks.queue = queues.name AND tasks.state = wanted.state AND tasks.id > $11::uuid
            ORDER BY tasks.id
            LIMIT $12::bigint
        ) AS listed
        WHERE $4::text IS NULL AND $5::uuid IS NULL AND $9::uuid[] IS NULL
            AND ($2::text IS NULL OR queues.name = $2)
        UNION ALL
        (
            SELECT task_id FROM hostler.task_members
            WHERE batch_id = $5 AND $9 IS NULL AND task_id > $11
            ORDER BY task_id
            LIMIT $12
        )
        UNION ALL
        (
            SELECT task_id FROM hostler.task_members
            WHERE group_name = $4 AND $5 IS NULL AND $9 IS NULL AND task_id > $11
            ORDER BY task_id
            LIMIT $12
        )
        UNION ALL
        SELECT DISTINCT given.id FROM unnest($9) AS given (id) WHERE given.id > $11
    ) AS each
    ORDER BY each.id
    LIMIT $12
)
SELECT ARRAY(
        SELECT tasks.id
        FROM hostler.tasks
        WHERE tasks.id = ANY (ARRAY(SELECT looked.id FROM looked))
            AND tasks.state = ANY ($1) AND NOT tasks.cancel_requested
            AND ($2 IS NULL OR tasks.queue = $2)
            AND ($3::text IS NULL OR tasks.kind = $3)
            AND ($7::timestamptz IS NULL OR tasks.created_at >= $7)
            AND ($8::timestamptz IS NULL OR tasks.created_at < $8)
            AND (
                coalesce($4, $5::text) IS NULL
                OR EXISTS (
                    SELECT FROM hostler.task_members AS member
                    WHERE member.task_id = tasks.id
                        AND ($4 IS NULL OR member.group_name = $4)
                        AND ($5 IS NULL OR member.batch_id = $5)
                )
            )
            AND (
                $6::hostler.failure_class IS NULL
                OR hostler.newest_failure(tasks.id) = $6
            )
            AND (
                $10 OR tasks.state <> 'failed'
                OR NOT EXISTS (
                    SELECT FROM hostler.dead_letter_notes AS letter
                    WHERE letter.task_id = tasks.id AND letter.discarded_at IS NOT NULL
                )
            )
        ORDER BY tasks.id
    ) AS ids,
    CASE
        WHEN (SELECT count(*) FROM looked) >= $12
        THEN (SELECT looked.id FROM looked ORDER BY looked.id DESC LIMIT 1)
    END AS go_on_after;
