-- tasks/attempts: the ended attempts of task $1, in their order.
-- State: none.
-- Locks: none.
-- Index: attempts_pkey.
SELECT attempt, outcome, class, message, detail, reason, host_id, agent, started_at, ended_at
FROM hostler.attempts
WHERE task_id = $1
ORDER BY attempt;
