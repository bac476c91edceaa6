-- api_keys/used: keys $1 were last used at $2, unless a later use is known.
-- State: none.
-- Locks: the rows, in the order of their ids, as every host does.
-- Index: api_keys_pkey.
WITH used AS (
    SELECT key.id, said.at
    FROM unnest($1::text[], $2::timestamptz[]) AS said (id, at)
    JOIN hostler.api_keys key ON key.id = said.id AND coalesce(key.last_used_at < said.at, true)
    ORDER BY key.id
    FOR UPDATE OF key
)
UPDATE hostler.api_keys SET last_used_at = used.at FROM used WHERE api_keys.id = used.id;
