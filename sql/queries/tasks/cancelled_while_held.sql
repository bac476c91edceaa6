-- tasks/cancelled_while_held: the attempts of host $1 that somebody has called off.
-- State: none.
-- Locks: none.
-- Index: tasks_held.
SELECT id, attempt
FROM hostler.tasks
WHERE host_id = $1 AND state IN ('running', 'awaiting_input') AND cancel_requested
ORDER BY id;
