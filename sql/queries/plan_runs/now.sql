-- plan_runs/now: what time it is in the database, as of which a run is looked at.
-- State: none.
-- Locks: none.
-- Index: none.
SELECT clock_timestamp() AS now;
