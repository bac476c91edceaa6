-- workspaces/put: what is known of the workspace of attempt $2 of task $1 is $3.
-- State: none.
-- Locks: the row.
-- Index: workspaces_pkey.
INSERT INTO hostler.workspaces (task_id, attempt, record)
VALUES ($1, $2, $3)
ON CONFLICT ON CONSTRAINT workspaces_pkey DO UPDATE SET record = EXCLUDED.record;
