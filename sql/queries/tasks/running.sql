-- tasks/running: how many tasks run, by queue and agent, with its host. Of plain tasks who has them
--     is not known, and what is claimed ahead counts as running.
-- State: none.
-- Locks: none.
-- Index: tasks_held, the whole of it: it has what runs just now; log_claims, and log_ends_pkey, one
--     range per claim.
SELECT queue, host_id, agent, count(*) AS tasks
FROM hostler.tasks
WHERE state IN ('running', 'awaiting_input')
GROUP BY 1, 2, 3
UNION ALL
SELECT log_lanes.queue, NULL, NULL, sum(log_claims.last - log_claims.first + 1 - (
    SELECT count(*)
    FROM hostler.log_ends
    WHERE log_ends.lane = log_claims.lane AND log_ends.number >= log_claims.first
        AND log_ends.number <= log_claims.last
))::bigint
FROM hostler.log_claims
JOIN hostler.log_lanes ON log_lanes.id = log_claims.lane
GROUP BY 1;
