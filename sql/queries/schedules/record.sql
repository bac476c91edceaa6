-- schedules/record: what became of the due times $2 of the schedule $1: outcomes $3, tasks $4, the
--     tasks that were called off for them $5, notes $6. Returns the due times that are new: one that
--     has its record already must not fire again.
-- State: none.
-- Locks: a due time that another session is recording is waited for.
-- Index: schedule_firings_pkey.
INSERT INTO hostler.schedule_firings (schedule, due_at, outcome, task_id, replaced, note)
SELECT $1, due_at, outcome, task_id, replaced, note
FROM unnest(
    $2::timestamptz[], $3::hostler.firing_outcome[], $4::uuid[], $5::uuid[], $6::text[]
) AS given (due_at, outcome, task_id, replaced, note)
ORDER BY due_at
ON CONFLICT (schedule, due_at) DO NOTHING
RETURNING due_at;
