-- plan_tasks/end_by_hand: end those of the tasks $1 that are pending, as $2 did it, in state $3, with
--     output $4 or message $5. Returns those that it ended.
-- State: pending -> running -> completed, failed, which are `step(Pending, Claimed)` and then
--     `step(Running, Completed)` or `step(Running, FailedForGood)`.
-- Locks: the tasks, in the order of their ids.
-- Index: tasks_pkey, by the list of ids.
SELECT hostler.end_by_hand($1::uuid[], $2::text, $3::hostler.task_state, $4::jsonb, $5::text) AS ids;
