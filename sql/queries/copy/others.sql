-- copy/others: who else is here: hosts whose lease lasts, and other sessions of hosts.
-- State: none.
-- Locks: none.
-- Index: hosts is small.
SELECT format('host %s, whose lease lasts until %s', name, lease_ends_at) AS who
FROM hostler.hosts
WHERE kind = 'host' AND lease_ends_at > now()
UNION ALL
SELECT format('a session of %s (process %s of the server)', application_name, pid)
FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND application_name = 'hostler' AND pid <> pg_backend_pid()
ORDER BY who;
