-- hosts/retire: take host $1 out, and put back what it still holds, with reason $2. Returns what
--     was put back.
-- State: running, awaiting_input -> pending, which is `step(_, Released)`; -> cancelled where asked.
-- Locks: the host's row first, as in hosts/register; then the held tasks, in the order of their ids.
-- Index: hosts_pkey, tasks_held.
WITH gone AS (
    DELETE FROM hostler.hosts WHERE id = $1 RETURNING id
)
SELECT put_back_task AS task_id, put_back_queue AS queue, put_back_attempt AS attempt,
    put_back_state AS state
FROM hostler.put_back((SELECT array_agg(id) FROM gone) || $1::uuid, $2);
