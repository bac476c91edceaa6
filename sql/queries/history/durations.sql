-- history/durations: of how long tasks with the names $1 took in runs that are deleted, only the newest $2 of
--     each name stay: more are not learned from.
-- State: none.
-- Locks: the rows.
-- Index: plan_durations_newest.
DELETE FROM hostler.plan_durations AS old
USING unnest($1::text[]) AS named (name)
WHERE old.name = named.name
    AND old.ended_at < (
        SELECT newest.ended_at FROM hostler.plan_durations AS newest
        WHERE newest.name = named.name
        ORDER BY newest.ended_at DESC
        OFFSET $2::bigint - 1 LIMIT 1
    );
