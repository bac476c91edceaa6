-- queues/pause: hold back the tasks of queue $1, for reason $2. No row if it is unknown.
-- State: none: what runs goes on.
-- Locks: the queue's row.
-- Index: queues_pkey.
UPDATE hostler.queues SET paused = true, paused_reason = $2 WHERE name = $1 RETURNING name;
