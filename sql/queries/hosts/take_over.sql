-- hosts/take_over: take out the hosts whose lease has ended, and put back what they hold, with
--     reason $1. Returns what was put back, in each row with the milliseconds until the next lease
--     would end; one row without a task if nothing was.
-- State: running, awaiting_input -> pending, which is `step(_, Released)`; -> cancelled where asked.
-- Locks: SKIP LOCKED on the hosts, so that two never wait for each other and a host that is
--     claiming or renewing just now is left for the next time; then the held tasks, in the order
--     of their ids. Tasks of a host that has no row are put back too: nobody else would.
-- Index: hosts and log_claims are small; tasks_held.
WITH lost AS MATERIALIZED (
    SELECT id FROM hostler.hosts WHERE lease_ends_at < now() ORDER BY id FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM hostler.hosts USING lost WHERE hosts.id = lost.id
), unknown AS (
    SELECT DISTINCT tasks.host_id AS id
    FROM hostler.tasks
    WHERE tasks.state IN ('running', 'awaiting_input')
        AND NOT EXISTS (SELECT FROM hostler.hosts WHERE hosts.id = tasks.host_id)
    UNION
    SELECT log_claims.host_id
    FROM hostler.log_claims
    WHERE NOT EXISTS (SELECT FROM hostler.hosts WHERE hosts.id = log_claims.host_id)
)
SELECT next.lease_ms, put_back_task AS task_id, put_back_queue AS queue,
    put_back_attempt AS attempt, put_back_state AS state
FROM (
    SELECT greatest(0, ceil(1000 * extract(epoch FROM min(lease_ends_at) - now())))::bigint
        AS lease_ms
    FROM hostler.hosts
    WHERE id <> ALL (ARRAY(SELECT lost.id FROM lost))
) AS next
LEFT JOIN hostler.put_back(
    ARRAY(SELECT id FROM lost UNION ALL SELECT id FROM unknown), $1
) ON true;
