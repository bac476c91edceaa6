-- hosts/list: every host, and every agent that is not ours and has a lease, with what is left of its lease, how
--     many tasks it holds, whether it is the one of slot $1, and whether it leads: it began the newest term,
--     and a session has the lock $2.
-- State: none.
-- Locks: none.
-- Index: hosts and leader are small; tasks_held and log_claims_by_host once per host.
SELECT hosts.id, hosts.name, hosts.agent, hosts.version, hosts.started_at, hosts.lease_ends_at,
    greatest(0, ceil(1000 * extract(epoch FROM hosts.lease_ends_at - now())))::bigint
        AS lease_left_ms,
    (
        SELECT count(*)
        FROM hostler.tasks
        WHERE tasks.host_id = hosts.id AND tasks.state IN ('running', 'awaiting_input')
    ) + (
        SELECT coalesce(sum(log_claims.last - log_claims.first + 1 - (
            SELECT count(*)
            FROM hostler.log_ends
            WHERE log_ends.lane = log_claims.lane
                AND log_ends.number BETWEEN log_claims.first AND log_claims.last
        )), 0)::bigint
        FROM hostler.log_claims
        WHERE log_claims.host_id = hosts.id
    ) AS held,
    hosts.slot = $1 AS answers,
    hosts.slot IN (SELECT leader.slot FROM hostler.leader) AND EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND classid::bigint = $2::bigint >> 32 AND objid::bigint = $2::bigint & 4294967295
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS leads
FROM hostler.hosts
ORDER BY hosts.name, hosts.id;
