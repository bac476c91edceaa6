-- webhooks/endings: how the tasks $1 ended, of those that have.
-- State: none.
-- Locks: none.
-- Index: tasks_pkey, task_results_pkey, task_failures_pkey, attempts_pkey; log_tasks_id, log_ends_pkey.
SELECT asked.id AS task_id, ended.output, ended.class, ended.message
FROM unnest($1::uuid[]) AS asked (id)
CROSS JOIN LATERAL (
    SELECT task_results.output, coalesce(late.class, failure.class) AS class,
        coalesce(late.message, failure.message) AS message
    FROM hostler.tasks
    LEFT JOIN LATERAL (
        SELECT output FROM hostler.task_results WHERE task_id = asked.id LIMIT 1
    ) AS task_results ON true
    LEFT JOIN LATERAL (
        SELECT task_failures.class, task_failures.message
        FROM hostler.task_failures
        WHERE task_failures.task_id = asked.id AND task_failures.attempt = tasks.attempt
        LIMIT 1
    ) AS late ON tasks.state = 'failed'
    LEFT JOIN LATERAL (
        SELECT attempts.class, attempts.message
        FROM hostler.attempts
        WHERE attempts.task_id = asked.id AND attempts.outcome = 'failed'
        ORDER BY attempts.attempt DESC
        LIMIT 1
    ) AS failure ON tasks.state = 'failed'
    WHERE tasks.id = asked.id AND tasks.finished_at IS NOT NULL
    UNION ALL
    SELECT done.output, NULL, NULL
    FROM hostler.log_tasks AS entry
    CROSS JOIN LATERAL (
        SELECT output
        FROM hostler.log_ends
        WHERE log_ends.lane = entry.lane AND log_ends.number = entry.number AND NOT log_ends.moved
        LIMIT 1
    ) AS done
    WHERE entry.id = asked.id
    LIMIT 1
) AS ended;
