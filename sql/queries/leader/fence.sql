-- leader/fence: let this transaction work for term $1. No row if that term is over: nothing of it may be
--     done then. No statement of the transaction may take longer than $2 milliseconds, nor may it
--     rest for longer than $3 between two, because the next leader waits for it.
-- State: none.
-- Locks: the row, shared: a new term begins only when this transaction has ended.
-- Index: leader_pkey.
SELECT set_config('statement_timeout', $2::bigint::text, true),
    set_config('idle_in_transaction_session_timeout', $3::bigint::text, true)
FROM hostler.leader
WHERE one AND term = $1
FOR SHARE;
