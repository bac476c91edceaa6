-- dependencies/reach: up to $2 tasks of the graph that task $1 is part of, the nearest first: those
--     that it depends on, those that depend on it, and so on from each of these.
-- State: none.
-- Locks: none.
-- Index: dependencies_pkey, dependencies_on. No more is read than is returned, and the neighbours
--     of the last: the limit ends the recursion.
WITH RECURSIVE reached (id) AS (
    SELECT $1::uuid
    UNION
    SELECT neighbour.id
    FROM reached
    CROSS JOIN LATERAL (
        SELECT depends_on FROM hostler.dependencies WHERE task_id = reached.id
        UNION ALL
        SELECT task_id FROM hostler.dependencies WHERE depends_on = reached.id
    ) AS neighbour (id)
)
SELECT id FROM reached LIMIT $2::bigint;
