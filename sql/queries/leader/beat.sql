-- leader/beat: no row if term $1 is over. Any statement on the leader's session shows that it lives.
-- State: none.
-- Locks: none.
-- Index: leader_pkey.
SELECT FROM hostler.leader WHERE one AND term = $1;
