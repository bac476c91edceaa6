-- task_holds/take_turns: wait until nobody else chooses among tasks that need something, on any
--     host; until the transaction ends nobody else will. Whoever falls silent meanwhile loses the
--     transaction after $2 milliseconds.
-- State: none. A statement of its own, so that the next one sees what the one before decided.
-- Locks: the advisory lock $1, until the transaction ends.
-- Index: none.
SELECT set_config('idle_in_transaction_session_timeout', $2::integer::text, true),
    pg_advisory_xact_lock($1);
