-- audit/turn: wait until nobody else is adding rows, so that their numbers are seen in their order.
-- State: none.
-- Locks: the advisory lock $1, until the transaction ends.
-- Index: none.
SELECT pg_advisory_xact_lock($1::bigint);
