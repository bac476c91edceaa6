-- dependents/release: let blocked task $1 go on without the dependencies that ended badly. Returns
--     where it was and is, its queue, how many dependencies were waived and how many are open; no
--     row if it is unknown.
-- State: blocked -> pending, scheduled. Any other stays as it is.
-- Locks: the task's row.
-- Index: tasks_pkey, dependencies_pkey, dependents_pkey.
SELECT released_from AS was, released_to AS state, released_queue AS queue,
    waived_count AS waived, still_open AS open
FROM hostler.release_dependent($1);
