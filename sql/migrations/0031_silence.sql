-- breaking: no
-- How long an agent may be silent at the tasks of a schedule, and at the callbacks of a batch.

ALTER TABLE hostler.schedules
    ADD COLUMN stale_after_ms bigint
    CONSTRAINT schedule_stale_after_makes_sense CHECK (stale_after_ms > 0);
COMMENT ON COLUMN hostler.schedules.stale_after_ms IS
    'How long an agent may show no life at one of its tasks. Null: what its fleet says.';

ALTER TABLE hostler.batch_callbacks
    ADD COLUMN stale_after_ms bigint
    CONSTRAINT callback_stale_after_makes_sense CHECK (stale_after_ms > 0);
COMMENT ON COLUMN hostler.batch_callbacks.stale_after_ms IS
    'How long an agent may show no life at it. Null: what its fleet says.';

-- As in 0013, with that.
CREATE OR REPLACE FUNCTION hostler.call_back() RETURNS trigger
LANGUAGE plpgsql
SET enable_seqscan TO off AS $$
DECLARE
    callback hostler.batch_callbacks;
    made uuid;
BEGIN
    FOR callback IN
        SELECT * FROM hostler.batch_callbacks
        WHERE batch_id = NEW.id AND task_id IS NULL AND on_end IN (
            'complete',
            CASE WHEN NEW.completed = NEW.total THEN 'success' ELSE 'failure' END
                ::hostler.batch_end
        )
        ORDER BY on_end
    LOOP
        made := hostler.task_id_at((extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
        INSERT INTO hostler.tasks (
            id, queue, kind, state, priority, max_attempts, timeout_ms, stale_after_ms
        )
        VALUES (made, callback.queue, callback.kind, 'pending', callback.priority,
            callback.max_attempts, callback.timeout_ms, callback.stale_after_ms);
        INSERT INTO hostler.task_inputs (task_id, input)
        VALUES (made, callback.input || jsonb_build_object('batch', hostler.batch_summary(NEW)));
        UPDATE hostler.batch_callbacks SET task_id = made
        WHERE batch_id = callback.batch_id AND on_end = callback.on_end;
        PERFORM pg_notify('hostler_wake', callback.queue);
    END LOOP;
    RETURN NULL;
END
$$;
