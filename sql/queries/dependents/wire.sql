-- dependents/wire: put the new blocked tasks $1 in step with dependencies that were there before.
--     Returns each task whose state changed; or, having changed nothing, each dependency that is no
--     task.
-- State: blocked -> pending, which is `step(Blocked, Unblocked)`; -> scheduled, which is
--     `step(Blocked, UnblockedEarly)`; -> cancelled.
-- Locks: the dependencies, shared, so that none ends unseen before this commits: those that are not
--     blocked first, then the others, each in the order of their ids.
-- Index: dependencies_pkey, dependencies_on, dependents_pkey, tasks_pkey.
SELECT wired_task AS task_id, wired_state AS state, missing
FROM hostler.wire_dependents($1::uuid[]);
