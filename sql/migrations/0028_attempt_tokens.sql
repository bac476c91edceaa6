-- breaking: no
-- Agents at work write into the session in which their task was given away: it is found by the task.

CREATE INDEX session_tasks_by_task ON hostler.session_tasks (task_id) WHERE task_id IS NOT NULL;
COMMENT ON INDEX hostler.session_tasks_by_task IS 'For agents that write into the session of their task.';
