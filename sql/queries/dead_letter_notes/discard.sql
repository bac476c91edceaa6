-- dead_letter_notes/discard: mark those of the tasks $1 as given up that are failed, for reason $2.
--     Returns them.
-- State: none: they stay failed.
-- Locks: the tasks, in the order of their ids, then their letters; waits for a retry of one, and
--     then leaves it.
-- Index: tasks_pkey by the list of ids, dead_letter_notes_pkey.
WITH found AS MATERIALIZED (
    SELECT id
    FROM hostler.tasks
    WHERE id = ANY ($1::uuid[]) AND state = 'failed'
    ORDER BY id
    FOR UPDATE
)
INSERT INTO hostler.dead_letter_notes AS letter (task_id, discarded_at, discard_reason)
SELECT id, now(), $2 FROM found ORDER BY id
ON CONFLICT (task_id) DO UPDATE
SET discarded_at = EXCLUDED.discarded_at, discard_reason = EXCLUDED.discard_reason
RETURNING task_id AS id;
