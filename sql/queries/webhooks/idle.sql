-- webhooks/idle: the snapshot of this moment, if nobody is to be told anything: no endpoint is enabled
--     and no task has a callback. Both are of one moment: a callback that it does not see belongs to
--     a task of which it has not seen a step.
-- State: none.
-- Locks: none.
-- Index: webhook_endpoints_pkey, webhook_callbacks_pkey; those of hostler.feed_moment.
SELECT upto::text AS seen
FROM hostler.feed_moment()
WHERE NOT EXISTS (
    SELECT FROM hostler.webhook_endpoints WHERE enabled AND name <> 'callbacks'
) AND NOT EXISTS (SELECT FROM hostler.webhook_callbacks);
