-- queues/end_pauses: take down the pauses of queues and keys whose time has come. Claims have gone by
--     the time itself since. Returns one row: the queues and the keys, and the milliseconds until the
--     next pause ends.
-- State: none.
-- Locks: SKIP LOCKED, so that hosts never wait for each other.
-- Index: queues and key_pauses are small.
WITH due AS MATERIALIZED (
    SELECT name FROM hostler.queues WHERE paused AND paused_until <= now() FOR UPDATE SKIP LOCKED
), resumed AS (
    UPDATE hostler.queues
    SET paused = false, paused_reason = NULL, paused_until = NULL
    WHERE name IN (SELECT due.name FROM due)
    RETURNING name
), due_keys AS MATERIALIZED (
    SELECT pattern FROM hostler.key_pauses WHERE until <= now() FOR UPDATE SKIP LOCKED
), resumed_keys AS (
    DELETE FROM hostler.key_pauses
    WHERE pattern IN (SELECT due_keys.pattern FROM due_keys)
    RETURNING pattern
)
SELECT ARRAY(SELECT name FROM resumed ORDER BY name) AS queues,
    ARRAY(SELECT pattern FROM resumed_keys ORDER BY pattern) AS keys,
    ceil(1000 * extract(epoch FROM least(
        (SELECT min(paused_until) FROM hostler.queues WHERE paused AND paused_until > now()),
        (SELECT min(until) FROM hostler.key_pauses WHERE until > now())
    ) - now()))::bigint AS next_ms;
