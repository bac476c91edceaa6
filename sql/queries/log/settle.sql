-- log/settle: write that agents of host $1 completed the plain tasks $3 of the lanes $2 (in that
--     order, each once): agents $4, begun $5 microseconds ago, outputs $6. The claims $7 are over with
--     that. Fails as a whole where one of the tasks has left the log, and where the host has no row, for then all
--     have: log/settle_again is for that. It
--     would do for all, but a row that may conflict costs a look at the index and a record more.
-- State: running -> completed, which is `step(Running, Completed)`.
-- Locks: the keys of the ends, in their order: one that somebody is writing is waited for, and then
--     the first counts.
-- Index: hosts_pkey, log_ends_pkey; log_claims_pkey, and never log_claims_by_host, which leads to every
--     claim that the host ever had for as long as an old snapshot is held: so IS NOT DISTINCT FROM.
WITH ended AS (
    INSERT INTO hostler.log_ends (lane, number, host_id, agent, started_at, output)
    SELECT given.lane, given.number, (SELECT hosts.id FROM hostler.hosts WHERE hosts.id = $1::uuid),
        given.agent,
        now() - given.began_ago * interval '1 microsecond', given.output
    FROM unnest($2::integer[], $3::bigint[], $4::text[], $5::bigint[], $6::jsonb[])
        AS given (lane, number, agent, began_ago, output)
), told AS (
    INSERT INTO hostler.log_feed (step, lane, numbers)
    SELECT 3, given.lane, array_agg(given.number)
    FROM unnest($2, $3) AS given (lane, number)
    GROUP BY given.lane
)
DELETE FROM hostler.log_claims WHERE id = ANY ($7::uuid[]) AND host_id IS NOT DISTINCT FROM $1;
