-- queues/limit: change limits of queue $1, and leave what is not named: if $2 how many may run, to $3,
--     if $4 how many may begin, to $5 within $6 milliseconds, the same for each key, if $7 to $8, and
--     if $9 to $10 within $11 milliseconds, its weight to $12 and whether it is fair to $13, unless
--     null. No row if it is unknown.
-- State: none: what runs goes on.
-- Locks: the queue's row.
-- Index: queues_pkey.
UPDATE hostler.queues
SET concurrency = CASE WHEN $2 THEN $3 ELSE concurrency END,
    rate_count = CASE WHEN $4 THEN $5 ELSE rate_count END,
    rate_per_ms = CASE WHEN $4 THEN $6 ELSE rate_per_ms END,
    key_concurrency = CASE WHEN $7 THEN $8 ELSE key_concurrency END,
    key_rate_count = CASE WHEN $9 THEN $10 ELSE key_rate_count END,
    key_rate_per_ms = CASE WHEN $9 THEN $11 ELSE key_rate_per_ms END,
    weight = coalesce($12, weight),
    fair = coalesce($13, fair)
WHERE name = $1
RETURNING name;
