-- breaking: no
-- What settles tasks on which others wait runs some hundred times a second. A function in SQL is planned
-- anew each time that it is called by one in PL/pgSQL; one in PL/pgSQL keeps its plans.

CREATE OR REPLACE FUNCTION hostler.unblock(ready uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hostler.tasks
    SET state = CASE WHEN run_at > now() THEN 'scheduled' ELSE 'pending' END::hostler.task_state,
        run_at = greatest(run_at, now()), version = version + 1
    WHERE id = ANY (ready) AND state IS NOT DISTINCT FROM 'blocked';
END
$$;

CREATE OR REPLACE FUNCTION hostler.close_dependencies(ended uuid[], became hostler.task_state[])
RETURNS uuid[]
LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    ready uuid[];
BEGIN
    WITH done AS (
        UPDATE hostler.dependents
        SET open = dependents.open - closed.count
        FROM (
            SELECT blocked_task, count(*)::integer AS count
            FROM unnest(ended, became) AS one (id, state)
            CROSS JOIN LATERAL hostler.blocked_by(one.id)
            WHERE hostler.dependency_is_done(blocked_policy, one.state)
            GROUP BY blocked_task
        ) AS closed
        WHERE dependents.task_id = closed.blocked_task
        RETURNING dependents.task_id, dependents.open
    )
    SELECT array_agg(task_id) INTO ready FROM done WHERE open = 0;
    RETURN ready;
END
$$;
