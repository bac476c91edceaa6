-- tasks/running: how many tasks run, by queue and fleet. The fleet is what the name of an agent
--     begins with.
-- State: none.
-- Locks: none.
-- Index: tasks_held, the whole of it: it has what runs just now.
SELECT queue, regexp_replace(agent, '-[0-9]+$', '') AS fleet, count(*) AS tasks
FROM hostler.tasks
WHERE state IN ('running', 'awaiting_input')
GROUP BY 1, 2;
