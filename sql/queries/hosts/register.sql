-- hosts/register: enter host $1 (slot $2, name $3, version $4, lease of $5 milliseconds), and put
--     back what its predecessors on the same slot hold, with reason $6. Returns what was put back.
-- State: running, awaiting_input -> pending, which is `step(_, Released)`; -> cancelled where asked.
-- Locks: the slot's row first, so that a claim of the predecessor is either seen or refused; then
--     the held tasks, in the order of their ids.
-- Index: hosts_one_per_slot, tasks_held.
WITH predecessor AS MATERIALIZED (
    SELECT id FROM hostler.hosts WHERE slot = $2 FOR UPDATE
), arrived AS (
    INSERT INTO hostler.hosts (id, slot, name, version, lease_ends_at)
    VALUES ($1, $2, $3, $4, now() + $5::bigint * interval '1 millisecond')
    ON CONFLICT ON CONSTRAINT hosts_one_per_slot DO UPDATE
    SET id = EXCLUDED.id, name = EXCLUDED.name, version = EXCLUDED.version,
        started_at = EXCLUDED.started_at, lease_ends_at = EXCLUDED.lease_ends_at
    RETURNING id
)
SELECT put_back_task AS task_id, put_back_queue AS queue, put_back_attempt AS attempt,
    put_back_state AS state
FROM hostler.put_back(
    (SELECT array_agg(id) FROM predecessor) || (SELECT id FROM arrived), $6
);
