-- log/divert: move plain tasks of the queues $2 from the log into `tasks` for host $1, until $3 wait
--     there of each, if there are so many. Returns how many.
-- State: none: they wait as before.
-- Locks: as log/claim: the host's row, shared, then the cursors, SKIP LOCKED; and what log/track takes. All
--     under the lock of task_holds/take_turns, with which nobody may wait for an agent at work.
-- Index: log_cursors is small; tasks_pending, log_tasks_pkey, and those of log/track.
SELECT hostler.divert($1::uuid, $2::text[], $3::integer) AS moved;
