-- log/settle_again: as log/settle, where some of the tasks have left the log. Returns one row: the
--     numbers that counted with their lanes, or nulls where all did. One that this host has written
--     before counts: the answer to that may have been lost.
-- State: running -> completed, which is `step(Running, Completed)`.
-- Locks: the keys of the ends, in their order: one that somebody is writing is waited for, and then
--     the first counts. A host that lost its claims finds them moved, and changes nothing.
-- Index: hosts_pkey, log_ends_pkey, log_claims_pkey.
WITH given AS MATERIALIZED (
    SELECT *
    FROM unnest($2::integer[], $3::bigint[], $4::text[], $5::bigint[], $6::jsonb[])
        AS given (lane, number, agent, began_ago, output)
    -- A host that was lost changes nothing, however late it comes: the ends that say so may have been
    -- deleted by then.
    WHERE EXISTS (SELECT FROM hostler.hosts WHERE hosts.id = $1)
), ended AS (
    INSERT INTO hostler.log_ends (lane, number, host_id, agent, started_at, output)
    SELECT given.lane, given.number, $1::uuid, given.agent,
        now() - given.began_ago * interval '1 microsecond', given.output
    FROM given
    ON CONFLICT DO NOTHING
    RETURNING lane, number
), told AS (
    INSERT INTO hostler.log_feed (step, lane, numbers)
    SELECT 3, lane, array_agg(number ORDER BY number) FROM ended GROUP BY lane
), over AS (
    DELETE FROM hostler.log_claims WHERE id = ANY ($7::uuid[]) AND host_id IS NOT DISTINCT FROM $1
), counted AS (
    SELECT count(*) = cardinality($2) AS all FROM ended
), each AS (
    SELECT ended.lane, ended.number FROM ended WHERE NOT (SELECT counted.all FROM counted)
    UNION ALL
    SELECT log_ends.lane, log_ends.number
    FROM given
    -- By the key, however small the table was when this was planned.
    CROSS JOIN LATERAL (
        SELECT * FROM hostler.log_ends
        WHERE log_ends.lane = given.lane AND log_ends.number = given.number
        LIMIT 1
    ) AS log_ends
    WHERE log_ends.host_id = $1 AND NOT (SELECT counted.all FROM counted)
)
SELECT (SELECT counted.all FROM counted) AS all, array_agg(each.lane) AS lanes,
    array_agg(each.number) AS numbers
FROM each;
