-- leader/begin_term: the session that has the lock begins to lead for the host of slot $1. Returns the
--     number of the new term. From now on the server ends this session after $2 milliseconds without
--     a word, and with it the lock.
-- State: none.
-- Locks: the row; waits for the work that a leader before this one has under way.
-- Index: leader_pkey.
INSERT INTO hostler.leader AS leader (term, slot)
VALUES (1, $1)
ON CONFLICT (one) DO UPDATE
SET term = leader.term + 1, slot = EXCLUDED.slot, since = now()
RETURNING term, set_config('idle_session_timeout', $2::bigint::text, false);
