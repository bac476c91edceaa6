-- webhooks/release_predecessor: what the host on slot $1 was sending when it was killed may be sent by anybody,
--     now. Before another takes the slot, and only when nothing of that host's goes on.
-- State: pending → pending.
-- Locks: the deliveries.
-- Index: hosts_one_per_slot; webhook_deliveries_due, all of it, once in the life of a host.
UPDATE hostler.webhook_deliveries
SET sender = NULL, sent_until = NULL
FROM hostler.hosts
WHERE hosts.slot = $1 AND webhook_deliveries.sender = hosts.id AND webhook_deliveries.state = 'pending';
