-- audit/oldest: up to $9 rows, the oldest first, after the number $8: of $1, of the operation $2 or below it, about
--     $3, with the outcome $4, by the way $5, from the time $6 until $7. What is null does not matter.
-- State: none.
-- Locks: none.
-- Index: audit_pkey, or audit_at where a time is given.
SELECT number, at, host, who, peer, surface, operation, object, outcome, status, count, request
FROM hostler.audit
WHERE ($1::text IS NULL OR who = $1)
    AND ($2::text IS NULL OR operation = $2 OR starts_with(operation, $2 || '.'))
    AND ($3::text IS NULL OR object = $3)
    AND ($4::text IS NULL OR outcome = $4)
    AND ($5::text IS NULL OR surface = $5)
    AND ($6::timestamptz IS NULL OR at >= $6)
    AND ($7::timestamptz IS NULL OR at < $7)
    AND ($8::bigint IS NULL OR number > $8)
ORDER BY number ASC
LIMIT $9;
