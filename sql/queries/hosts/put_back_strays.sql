-- hosts/put_back_strays: put back what host $1 holds and does not know of, with reason $2: all but
--     the tasks $3. A claim whose answer got lost leaves such tasks. Returns what was put back.
-- State: running, awaiting_input -> pending, which is `step(_, Released)`; -> cancelled where asked.
-- Locks: the held tasks, in the order of their ids.
-- Index: tasks_held.
SELECT put_back_task AS task_id, put_back_queue AS queue, put_back_attempt AS attempt,
    put_back_state AS state
FROM hostler.put_back(ARRAY[$1::uuid], $2, $3::uuid[]);
