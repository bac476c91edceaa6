-- webhooks/call_back: take out the callbacks of the tasks $1, which have ended.
-- State: none.
-- Locks: the rows.
-- Index: webhook_callbacks_pkey, by the list of ids.
DELETE FROM hostler.webhook_callbacks
WHERE task_id = ANY ($1::uuid[])
RETURNING task_id, url;
