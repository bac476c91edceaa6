-- plan_tasks/prioritise: give the tasks $1, in the order of ids, the priorities $2, unless they have
--     begun.
-- State: none.
-- Locks: the tasks, in the order of their ids.
-- Index: tasks_pkey, by the list of ids. width_bucket finds the place of a task in the list.
WITH found AS MATERIALIZED (
    SELECT id FROM hostler.tasks
    WHERE id = ANY ($1::uuid[]) AND state IN ('blocked', 'scheduled', 'pending')
    ORDER BY id
    FOR UPDATE
)
UPDATE hostler.tasks
SET priority = ($2::smallint[])[width_bucket(id, $1::uuid[])]
WHERE id = ANY (ARRAY(SELECT found.id FROM found));
