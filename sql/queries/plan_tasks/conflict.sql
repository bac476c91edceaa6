-- plan_tasks/conflict: what merge $1 waits for is that somebody resolves a conflict: it goes to queue $2,
--     with $3 added to its input, and $4 as what its attempts find. Returns it; no row if it does not wait
--     in queue $5 any more.
-- State: none.
-- Locks: the task.
-- Index: tasks_pkey, task_inputs_pkey.
WITH moved AS (
    UPDATE hostler.tasks
    SET queue = $2, workspace = jsonb_set(workspace, '{conflict}', $4::jsonb)
    WHERE id = $1 AND state = 'pending' AND queue = $5::text
    RETURNING id
), told AS (
    UPDATE hostler.task_inputs
    SET input = CASE jsonb_typeof(input)
        WHEN 'object' THEN input
        WHEN 'null' THEN '{}'
        ELSE jsonb_build_object('input', input)
    END || $3::jsonb
    WHERE task_id = (SELECT moved.id FROM moved)
)
SELECT id FROM moved;
