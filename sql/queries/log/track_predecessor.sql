-- log/track_predecessor: move what the hosts on slot $1 hold of the log into `tasks`, before another
--     host takes the slot: of $2, in the hands of the agents $3.
-- State: none: each goes on where it is.
-- Locks: the slot's row first, so that a claim of the predecessor is either seen or refused; then as
--     log/track.
-- Index: hosts_one_per_slot, log_claims_by_host.
WITH predecessor AS MATERIALIZED (
    SELECT id FROM hostler.hosts WHERE slot = $1 FOR UPDATE
)
SELECT hostler.track($2::uuid[], $3::text[]) AS moved,
    hostler.track_claimed(coalesce(held.hosts, '{}'), '{}')
FROM (SELECT array_agg(predecessor.id) AS hosts FROM predecessor) AS held;
