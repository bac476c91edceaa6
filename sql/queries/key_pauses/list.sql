-- key_pauses/list: the keys that are held back.
-- State: none.
-- Locks: none.
-- Index: key_pauses is small.
SELECT pattern, reason, since, until
FROM hostler.key_pauses
WHERE until IS NULL OR until > now()
ORDER BY pattern;
