-- breaking: no
-- A cursor of the log is one row that every claim updates, and an old snapshot keeps every version of it.
-- By its lane alone a claim found all of these before the one that counts: it took the longer, the more had
-- been claimed since the snapshot (decision 58). In this index the newest place is the last.
--
-- There is one cursor for each lane, as before: both are made by one statement, and the lane is unique. A
-- constraint that says so would look at every version at every claim.
ALTER TABLE hostler.log_cursors DROP CONSTRAINT log_cursors_pkey;
ALTER TABLE hostler.log_cursors RESET (fillfactor);
CREATE INDEX log_cursors_by_place ON hostler.log_cursors (lane, taken);
