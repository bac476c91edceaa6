-- schema/ping: whether the server answers.
-- State: none.
-- Locks: none.
-- Index: none.
SELECT 1;
