-- tasks/final_states: those of the tasks $1 that are final, with their states.
-- State: none.
-- Locks: none.
-- Index: tasks_pkey.
SELECT id, state
FROM hostler.tasks
WHERE id = ANY ($1::uuid[]) AND state IN ('completed', 'failed', 'cancelled')
ORDER BY id;
