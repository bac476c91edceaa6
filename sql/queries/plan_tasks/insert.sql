-- plan_tasks/insert: the tasks of run $1: their places $2, names $3, titles $4, phases $5, whether a
--     person does them $6, what they depend on $7 (places with commas between), tasks $8, gates $9,
--     lengths $10, starts $11 and finishes $12 (milliseconds of the plan), workers $13, whether they
--     are on the longest chain $14, the queues of their agents $15, conditions $16, merges $17 and
--     their places among these $18.
-- State: none.
-- Locks: none but of the new rows.
-- Index: none is read.
INSERT INTO hostler.plan_tasks (
    run_id, place, name, title, phase, human, depends_on, task_id, gate_id, planned_ms, start_ms,
    finish_ms, worker, critical, queue, condition, merge_id, merge_rank
)
SELECT $1, place, name, title, phase, human,
    coalesce(string_to_array(nullif(depends_on, ''), ',')::integer[], '{}'),
    task_id, gate_id, planned_ms, start_ms, finish_ms, worker, critical, queue, condition,
    merge_id, merge_rank
FROM unnest(
    $2::integer[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::uuid[],
    $9::uuid[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::boolean[],
    $15::text[], $16::text[], $17::uuid[], $18::integer[]
) AS given (
    place, name, title, phase, human, depends_on, task_id, gate_id, planned_ms, start_ms,
    finish_ms, worker, critical, queue, condition, merge_id, merge_rank
);
