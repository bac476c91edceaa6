-- queues/pause: hold back the tasks of queue $1, for reason $2, until time $3, or for $4
--     milliseconds; until it is resumed if both are null. No row if it is unknown.
-- State: none: what runs goes on.
-- Locks: the queue's row.
-- Index: queues_pkey.
UPDATE hostler.queues
SET paused = true, paused_reason = $2,
    paused_until = coalesce($3, now() + $4::bigint * interval '1 millisecond')
WHERE name = $1
RETURNING name;
