-- copy/set_sequence: let sequence $1 go on after $2, or, if $3 is false, begin with it.
-- State: none.
-- Locks: none that last.
-- Index: none.
SELECT setval(format('hostler.%I', $1::text)::regclass, $2::bigint, $3::boolean);
