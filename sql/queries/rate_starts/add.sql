-- rate_starts/add: attempts began: under the scopes $1, each once, at the times $2, so many $3. What
--     began before the times $4 counts no more, and is deleted.
-- State: none.
-- Locks: the rows that change: under the lock of task_holds/take_turns.
-- Index: rate_starts_pkey.
WITH gone AS (
    DELETE FROM hostler.rate_starts
    USING unnest($1::text[], $4::timestamptz[]) AS given (scope, past)
    WHERE rate_starts.scope = given.scope AND rate_starts.at <= given.past
)
INSERT INTO hostler.rate_starts (scope, at, count)
SELECT scope, at, count
FROM unnest($1::text[], $2::timestamptz[], $3::integer[]) AS given (scope, at, count)
ON CONFLICT (scope, at) DO UPDATE SET count = rate_starts.count + EXCLUDED.count;
