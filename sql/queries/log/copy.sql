-- log/copy: many plain tasks for the lanes that log/submit has grown in this transaction: COPY takes
--     about half the time of its INSERT.
-- State: a new task, as log/submit.
-- Locks: none, but of what it makes.
-- Index: none.
COPY hostler.log_tasks (lane, number, id, kind, input, max_attempts, timeout_ms)
FROM STDIN (FORMAT binary);
