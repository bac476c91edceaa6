-- breaking: no
-- Blocked tasks were locked by one statement in the order of their ids. Its list was made before it waited
-- for the first of them, and what had been unblocked, claimed and was being settled meanwhile was waited for
-- too, as if it were still blocked: with two hosts that settle, each could wait for the other. Now each is
-- looked at when its turn comes. Only those that told a dependent hold its row in `dependents`, and they
-- alone can unblock it.

-- lock_blocked: locks those of the tasks that are blocked when their turn comes, in the order of ids, and
-- returns them. Whoever has waited for the row in `dependents` sees a state that no other settle changes.
CREATE FUNCTION hostler.lock_blocked(ids uuid[])
RETURNS uuid[]
LANGUAGE plpgsql
SET enable_seqscan TO off
AS $$
DECLARE
    one uuid;
    locked uuid[] := '{}';
BEGIN
    FOR one IN SELECT DISTINCT id FROM unnest(ids) AS id ORDER BY id LOOP
        PERFORM FROM hostler.dependents WHERE task_id = one FOR NO KEY UPDATE;
        PERFORM FROM hostler.tasks
        WHERE id = one AND state IS NOT DISTINCT FROM 'blocked'
        FOR NO KEY UPDATE;
        IF FOUND THEN
            locked := locked || one;
        END IF;
    END LOOP;
    RETURN locked;
END
$$;

COMMENT ON FUNCTION hostler.lock_blocked(uuid[]) IS 'Internal: locks those of the tasks that are blocked.';

CREATE OR REPLACE FUNCTION hostler.lock_dependents(ended uuid[])
RETURNS uuid[]
LANGUAGE plpgsql
SET enable_hashjoin TO off
SET enable_mergejoin TO off
AS $$
BEGIN
    RETURN hostler.lock_blocked(ARRAY(
        SELECT blocked_task
        FROM unnest(ended) AS one (id) CROSS JOIN LATERAL hostler.blocked_by(one.id)
    ));
END
$$;

CREATE OR REPLACE FUNCTION hostler.lock_connected(wanted uuid[])
RETURNS uuid[]
LANGUAGE plpgsql
SET enable_seqscan TO off
AS $$
DECLARE
    touched uuid[];
    free uuid[];
BEGIN
    free := ARRAY(
        SELECT id FROM hostler.tasks
        WHERE id = ANY (wanted) AND state NOT IN ('blocked', 'completed', 'failed', 'cancelled')
        ORDER BY id
        FOR NO KEY UPDATE
    );
    touched := ARRAY(
        SELECT id FROM hostler.tasks
        WHERE id = ANY (wanted) AND state IS NOT DISTINCT FROM 'blocked'
    );
    IF EXISTS (SELECT FROM hostler.dependencies WHERE depends_on = ANY (wanted)) THEN
        touched := touched || hostler.doomed_by(wanted);
        touched := touched || ARRAY(
            SELECT blocked_task
            FROM unnest(wanted || touched) AS one (id) CROSS JOIN LATERAL hostler.blocked_by(one.id)
        );
    END IF;
    RETURN ARRAY(
        SELECT unnest(free || hostler.lock_blocked(touched)) INTERSECT SELECT unnest(wanted)
    );
END
$$;
