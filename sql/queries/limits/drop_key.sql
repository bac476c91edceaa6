-- limits/drop_key: nothing is limited or paused any more of key $1.
-- State: none.
-- Locks: the rows.
-- Index: limits_pkey, key_pauses_pkey.
WITH gone AS (
    DELETE FROM hostler.limits WHERE scope = 'key' AND name = $1 AND configured IS NULL
)
DELETE FROM hostler.key_pauses WHERE pattern = $1;
