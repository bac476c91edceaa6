-- hosts/renew: let the lease of host $1 end $2 milliseconds from now. No row if it has ended; else one,
--     with the tasks that the host holds and somebody has called off. The one statement of a beat.
-- State: none.
-- Locks: the host's row; waits for a take-over of it, and then finds nothing.
-- Index: hosts_pkey, tasks_held. No indexed column changes, so the update stays in the page.
WITH renewed AS (
    UPDATE hostler.hosts
    SET lease_ends_at = now() + $2::bigint * interval '1 millisecond'
    WHERE id = $1 AND lease_ends_at > now()
    RETURNING id
)
SELECT ARRAY(
    SELECT id
    FROM hostler.tasks
    WHERE host_id = $1 AND state IN ('running', 'awaiting_input') AND cancel_requested
    ORDER BY id
) AS called_off
FROM renewed;
