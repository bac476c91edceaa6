-- schedules/put: make the schedule $1, or change it: description $2, origin $3, cron $4 or every $5
--     (milliseconds), zone $6, queue $7, kind $8, input $9, priority $10, most attempts $11, time
--     limit $12 (milliseconds), overlap $13, catch-up $14 and its bound $15. A new one is paused if
--     $16 says so, for the reason $17; one that is there stays paused, or not. Its times count
--     from $18, and unless it is paused it is due at $19. Its tasks have $20 milliseconds from the
--     due time on, and an agent may be silent at one for $21. Returns whether it was made.
-- State: none.
-- Locks: the row.
-- Index: schedules_pkey.
INSERT INTO hostler.schedules (
    name, description, origin, cron, every_ms, zone, queue, kind, input, priority, max_attempts,
    timeout_ms, overlap, catch_up, catch_up_max, paused, paused_reason, anchor, next_at,
    deadline_ms, stale_after_ms
)
VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16::boolean, $17, $18,
    CASE WHEN NOT $16::boolean THEN $19::timestamptz END, $20, $21
)
ON CONFLICT (name) DO UPDATE
SET description = EXCLUDED.description, origin = EXCLUDED.origin, cron = EXCLUDED.cron,
    every_ms = EXCLUDED.every_ms, zone = EXCLUDED.zone, queue = EXCLUDED.queue,
    kind = EXCLUDED.kind, input = EXCLUDED.input, priority = EXCLUDED.priority,
    max_attempts = EXCLUDED.max_attempts, timeout_ms = EXCLUDED.timeout_ms,
    deadline_ms = EXCLUDED.deadline_ms, stale_after_ms = EXCLUDED.stale_after_ms,
    overlap = EXCLUDED.overlap, catch_up = EXCLUDED.catch_up,
    catch_up_max = EXCLUDED.catch_up_max, anchor = EXCLUDED.anchor,
    next_at = CASE WHEN NOT schedules.paused THEN $19::timestamptz END, changed_at = now()
RETURNING xmax = 0 AS created;
