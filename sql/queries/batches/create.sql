-- batches/create: make the batch $1, open, with the idempotency key $2. Returns it, and whether it
--     is new: a key that is taken gives the batch that has it.
-- State: none.
-- Locks: a key that another session is inserting is waited for; the row that has it is updated
--     without a change, which makes it visible.
-- Index: batches_pkey, batches_idempotency_key.
INSERT INTO hostler.batches (id, idempotency_key)
VALUES ($1, $2)
ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO UPDATE
SET idempotency_key = EXCLUDED.idempotency_key
RETURNING id, xmax = 0 AS created;
