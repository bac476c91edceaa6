-- task_waits/pass_over: the tasks $1 were passed over because others hold what they need. That
--     counts for $2 milliseconds from now, and longer if it is said again. Tasks that were last
--     passed over a day ago are forgotten.
-- State: none.
-- Locks: the rows that change: under the lock of task_holds/take_turns.
-- Index: task_waits_pkey. The table has what waits.
WITH gone AS (
    DELETE FROM hostler.task_waits WHERE until < now() - interval '1 day'
)
INSERT INTO hostler.task_waits (task_id, until)
SELECT task_id, now() + $2::bigint * interval '1 millisecond'
FROM unnest($1::uuid[]) AS given (task_id)
ORDER BY task_id
ON CONFLICT (task_id) DO UPDATE
SET until = EXCLUDED.until
-- What was said a moment ago need not be written again.
WHERE task_waits.until < EXCLUDED.until - $2::bigint * interval '1 millisecond' / 2;
