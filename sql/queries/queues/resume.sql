-- queues/resume: let the tasks of queue $1 run again. No row if it is unknown.
-- State: none.
-- Locks: the queue's row.
-- Index: queues_pkey.
UPDATE hostler.queues
SET paused = false, paused_reason = NULL, paused_until = NULL
WHERE name = $1
RETURNING name;
