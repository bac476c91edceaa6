-- tasks/by_key: the tasks that have one of the idempotency keys $1, or one of the unique keys $3 of
--     the queues $2.
-- State: none.
-- Locks: none.
-- Index: tasks_idempotency_key, task_unique_pkey.
SELECT id
FROM hostler.tasks
WHERE idempotency_key = ANY ($1::text[]) AND idempotency_key IS NOT NULL
UNION ALL
SELECT (
    SELECT task_id FROM hostler.task_unique WHERE queue = wanted.queue AND key = wanted.key
)
FROM unnest($2::text[], $3::text[]) AS wanted (queue, key)
WHERE EXISTS (
    SELECT FROM hostler.task_unique WHERE queue = wanted.queue AND key = wanted.key
);
