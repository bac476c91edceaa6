-- hosts/renew: let the lease of host $1 end $2 milliseconds from now. No row if it has ended.
-- State: none.
-- Locks: the host's row; waits for a take-over of it, and then finds nothing.
-- Index: hosts_pkey. No indexed column changes, so the update stays in the page.
UPDATE hostler.hosts
SET lease_ends_at = now() + $2::bigint * interval '1 millisecond'
WHERE id = $1 AND lease_ends_at > now()
RETURNING id;
