-- history/ended: a step of a search for ended tasks whose term is over, in the order of their ids: looks
--     at up to $4 tasks in state $1 after task $3, and returns those that ended more than $2
--     milliseconds ago and that nobody needs. $5 says whether failed ones are wanted that were
--     discarded (the term begins then) or those that were not. Up to about $6 bytes, as they are
--     kept, and one at the least. And after which task to go on; null if that was all.
-- State: none.
-- Locks: none: whoever deletes them locks them and looks again.
-- Index: tasks_listed, once per queue: an id is as old as its task, and no task ends before it begins.
--     Discarded ones by dead_letter_notes_pkey. Then tasks_pkey, by a list of ids.
WITH term AS MATERIALIZED (
    SELECT now() - $2::bigint * interval '1 millisecond' AS ends_at
), bound AS MATERIALIZED (
    SELECT (
            lpad(to_hex(greatest(floor(extract(epoch FROM ends_at) * 1000), 0)::bigint + 1), 12, '0')
            || repeat('0', 20)
        )::uuid AS id
    FROM term
), looked AS MATERIALIZED (
    SELECT each.id
    FROM (
        SELECT listed.id
        FROM hostler.queues
        CROSS JOIN LATERAL (
            SELECT tasks.id
            FROM hostler.tasks
            WHERE tasks.queue = queues.name AND tasks.state = $1::hostler.task_state
                AND tasks.id > $3::uuid AND tasks.id < (SELECT bound.id FROM bound)
            ORDER BY tasks.id
            LIMIT $4::bigint
        ) AS listed
        WHERE NOT $5::boolean
        UNION ALL
        (
            SELECT letter.task_id
            FROM hostler.dead_letter_notes AS letter
            WHERE letter.task_id > $3 AND letter.task_id < (SELECT bound.id FROM bound)
                AND $5
            ORDER BY letter.task_id
            LIMIT $4
        )
    ) AS each
    ORDER BY each.id
    LIMIT $4
), due AS MATERIALIZED (
    SELECT tasks.id, tasks.version, sum(
            coalesce((
                SELECT pg_column_size(input) FROM hostler.task_inputs WHERE task_id = tasks.id
            ), 0) + coalesce((
                SELECT pg_column_size(output) FROM hostler.task_results WHERE task_id = tasks.id
            ), 0)
        ) OVER (ORDER BY tasks.id) AS bytes,
        row_number() OVER (ORDER BY tasks.id) AS place
    FROM hostler.tasks
    LEFT JOIN hostler.dead_letter_notes AS letter ON letter.task_id = tasks.id
    CROSS JOIN term
    WHERE tasks.id = ANY (ARRAY(SELECT looked.id FROM looked)) AND tasks.state = $1
        AND tasks.finished_at < term.ends_at
        AND (
            $1 <> 'failed' OR NOT $5 AND letter.discarded_at IS NULL
            OR $5 AND letter.discarded_at < term.ends_at
        )
        AND NOT hostler.is_needed(tasks.id)
), fit AS MATERIALIZED (
    SELECT due.id, due.version FROM due WHERE due.bytes <= $6::bigint OR due.place = 1
)
SELECT ARRAY(SELECT fit.id FROM fit ORDER BY fit.id) AS ids,
    ARRAY(SELECT fit.version FROM fit ORDER BY fit.id) AS versions,
    CASE
        WHEN (SELECT count(*) FROM fit) < (SELECT count(*) FROM due)
        THEN (SELECT fit.id FROM fit ORDER BY fit.id DESC LIMIT 1)
        WHEN (SELECT count(*) FROM looked) >= $4
        THEN (SELECT looked.id FROM looked ORDER BY looked.id DESC LIMIT 1)
    END AS go_on_after;
