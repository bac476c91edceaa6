-- leader/stand: take the lock $1, which is the right to lead, unless another session has it. Returns
--     whether this one has it now.
-- State: none.
-- Locks: the advisory lock, for as long as the session lives.
-- Index: none.
SELECT pg_try_advisory_lock($1) AS leads;
