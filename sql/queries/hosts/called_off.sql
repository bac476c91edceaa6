-- hosts/called_off: the tasks that host $1 holds and somebody has called off. Asked when a notice says that
--     there are some: everybody who may connect to the database can send one.
-- State: none.
-- Locks: none.
-- Index: tasks_held.
SELECT id
FROM hostler.tasks
WHERE host_id = $1 AND state IN ('running', 'awaiting_input') AND cancel_requested
ORDER BY id;
