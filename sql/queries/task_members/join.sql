-- task_members/join: enter the tasks $1 as members of the groups $2 and the batches $3.
-- State: none.
-- Locks: by a trigger, the batches, in the order of their ids; a closed one refuses.
-- Index: task_members_pkey.
INSERT INTO hostler.task_members (task_id, group_name, batch_id)
SELECT task_id, group_name, batch_id
FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS given (task_id, group_name, batch_id);
