-- leader/begin_term: the session that has the lock begins to lead for the host of slot $1. Returns the
--     number of the new term.
-- State: none.
-- Locks: the row; waits for the work that a leader before this one has under way.
-- Index: leader_pkey.
INSERT INTO hostler.leader AS leader (term, slot)
VALUES (1, $1)
ON CONFLICT (one) DO UPDATE
SET term = leader.term + 1, slot = EXCLUDED.slot, since = now()
RETURNING term;
