-- schema/lock: wait until no other host migrates this database. The lock is the session's: it
--     ends with the connection, whatever becomes of the host. $1 is the number it goes by.
-- State: none.
-- Locks: the advisory lock $1.
-- Index: none.
SELECT pg_advisory_lock($1::bigint);
