-- breaking: no
-- Workspaces: what a task says that its attempts work in, and what is known of the workspace of each.

-- Null for nearly all tasks, which costs nothing. It stands in `tasks` because every claim returns it.
ALTER TABLE hostler.tasks ADD COLUMN workspace jsonb;

-- A copy of what the host of the worktree has in a file: that counts. Plain tasks have no row in `tasks`, so
-- there is no reference; whoever deletes a task deletes its rows.
CREATE TABLE hostler.workspaces (
    task_id uuid    NOT NULL,
    attempt integer NOT NULL,
    record  jsonb   NOT NULL,
    PRIMARY KEY (task_id, attempt)
);

COMMENT ON COLUMN hostler.tasks.workspace IS
    'What the attempts work in: git, base and branch. Null: what the fleet says.';
COMMENT ON TABLE hostler.workspaces IS
    'What is known of the workspaces of attempts: where each is or was, its branch, and what changed in it.';
