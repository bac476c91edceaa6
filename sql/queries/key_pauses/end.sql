-- key_pauses/end: let the tasks with the keys that $1 means run again. No row if they were not
--     held back under this name.
-- State: none.
-- Locks: the row.
-- Index: key_pauses_pkey.
DELETE FROM hostler.key_pauses WHERE pattern = $1 RETURNING pattern;
