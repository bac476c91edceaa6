-- leader/outlook: what there will be for the leader to do, one row for each matter: its name, and the
--     milliseconds until then, 0 if it is now. `lost_hosts`: a lease ends, or something is held by a host
--     that has no row; `pauses`: one of them ends; `schedules`: one is due; `deadlines`: that of a task
--     that nobody holds; `plans`: there is a run that nobody has looked at yet.
-- State: none.
-- Locks: none.
-- Index: hosts, log_claims, queues and key_pauses are small; tasks_held, schedules_due, tasks_deadline,
--     plan_runs_open.
SELECT matter, greatest(0, ceil(1000 * extract(epoch FROM at - clock_timestamp())))::bigint AS ms
FROM (VALUES
    ('lost_hosts', (SELECT min(lease_ends_at) FROM hostler.hosts)),
    ('lost_hosts', (
        SELECT now() FROM hostler.tasks
        WHERE tasks.state IN ('running', 'awaiting_input')
            AND NOT EXISTS (SELECT FROM hostler.hosts WHERE hosts.id = tasks.host_id)
        LIMIT 1
    )),
    ('lost_hosts', (
        SELECT now() FROM hostler.log_claims
        WHERE NOT EXISTS (SELECT FROM hostler.hosts WHERE hosts.id = log_claims.host_id)
        LIMIT 1
    )),
    ('pauses', (SELECT min(paused_until) FROM hostler.queues WHERE paused)),
    ('pauses', (SELECT min(until) FROM hostler.key_pauses)),
    ('schedules', (SELECT min(next_at) FROM hostler.schedules WHERE next_at IS NOT NULL)),
    ('deadlines', (
        SELECT min(deadline) FROM hostler.tasks
        WHERE deadline IS NOT NULL AND state IN ('blocked', 'scheduled', 'pending')
    )),
    ('plans', (
        SELECT now() FROM hostler.plan_runs WHERE ended_at IS NULL AND looked_at IS NULL LIMIT 1
    ))
) AS matters (matter, at)
WHERE at IS NOT NULL;
