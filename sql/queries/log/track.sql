-- log/track: move the plain tasks among $1 that have not ended into `tasks`, the running ones in the
--     hands of the agents $2 (null where nobody knows). Returns how many.
-- State: none: each goes on where it is.
-- Locks: the cursors of their lanes, then the keys of their ends, then the new rows, each in order.
-- Index: log_tasks_id, log_ends_pkey, log_claims_by_lane.
SELECT hostler.track($1::uuid[], $2::text[]) AS moved;
