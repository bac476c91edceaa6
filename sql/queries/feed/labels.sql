-- feed/labels: of each attempt $2 of a task $1, where the task belongs and which agent ran the attempt.
--     A task that was deleted has no row.
-- State: none.
-- Locks: none.
-- Index: tasks_pkey, task_members_pkey, attempts_pkey; log_tasks_id, log_ends_pkey, log_lanes_pkey.
SELECT asked.id AS task_id, asked.attempt, found.queue, found.kind, found.group_name, found.batch_id,
    found.agent
FROM unnest($1::uuid[], $2::integer[]) AS asked (id, attempt)
CROSS JOIN LATERAL (
    SELECT tasks.queue, tasks.kind, member.group_name, member.batch_id,
        coalesce(ended.agent, CASE WHEN tasks.attempt = asked.attempt THEN tasks.agent END) AS agent
    FROM hostler.tasks
    LEFT JOIN LATERAL (
        SELECT group_name, batch_id FROM hostler.task_members WHERE task_id = asked.id LIMIT 1
    ) AS member ON true
    LEFT JOIN LATERAL (
        SELECT attempts.agent
        FROM hostler.attempts
        WHERE attempts.task_id = asked.id AND attempts.attempt = asked.attempt
        LIMIT 1
    ) AS ended ON true
    WHERE tasks.id = asked.id
    UNION ALL
    SELECT lane.queue, entry.kind, NULL, NULL, ended.agent
    FROM hostler.log_tasks AS entry
    CROSS JOIN LATERAL (
        SELECT queue FROM hostler.log_lanes WHERE log_lanes.id = entry.lane LIMIT 1
    ) AS lane
    LEFT JOIN LATERAL (
        SELECT log_ends.agent, log_ends.moved
        FROM hostler.log_ends
        WHERE log_ends.lane = entry.lane AND log_ends.number = entry.number
        LIMIT 1
    ) AS ended ON true
    WHERE entry.id = asked.id AND NOT coalesce(ended.moved, false)
    LIMIT 1
) AS found;
