-- task_needs/get: what task $1 needs, one need a row.
-- State: none.
-- Locks: none.
-- Index: task_needs_pkey.
SELECT kind, name FROM hostler.task_needs WHERE task_id = $1 ORDER BY kind, name;
