-- leader/stand: take the lock $1, which is the right to lead, unless another session has it. Returns
--     whether this one has it now. Then the server ends this session after $2 milliseconds without a
--     word, and with it the lock: at once, for a host may freeze before it says the next one.
-- State: none.
-- Locks: the advisory lock, for as long as the session lives.
-- Index: none.
WITH asked AS MATERIALIZED (
    SELECT pg_try_advisory_lock($1) AS leads
)
SELECT leads,
    CASE WHEN leads THEN set_config('idle_session_timeout', $2::bigint::text, false) END AS silence
FROM asked;
