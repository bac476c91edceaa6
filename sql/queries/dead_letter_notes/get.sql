-- dead_letter_notes/get: what was done about task $1, if it is failed. No row if it is not.
-- State: none.
-- Locks: none.
-- Index: tasks_pkey, dead_letter_notes_pkey.
SELECT tasks.id, coalesce(letter.redrives, 0) AS redrives, letter.redriven_at,
    letter.discarded_at, letter.discard_reason
FROM hostler.tasks
LEFT JOIN hostler.dead_letter_notes AS letter ON letter.task_id = tasks.id
WHERE tasks.id = $1 AND tasks.state = 'failed';
