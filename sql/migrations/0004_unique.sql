-- breaking: no
-- One task per key, and the step by which a task that could run is put off.

-- Who has each key of a queue: the newest task that was submitted with it. The row is taken over by
-- the next task once that one is no longer in the way, which the submit decides; it goes with its
-- task. Submits of one key take turns by the lock on the row.
CREATE TABLE hostler.task_unique (
    queue   text COLLATE "C" NOT NULL,
    key     text COLLATE "C" NOT NULL,
    task_id uuid             NOT NULL,
    PRIMARY KEY (queue, key),
    CONSTRAINT unique_key_is_short CHECK (length(key) BETWEEN 1 AND 255)
) WITH (fillfactor = 70);

CREATE INDEX task_unique_by_task ON hostler.task_unique (task_id);

CREATE FUNCTION hostler.forget_deleted_keys() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM hostler.task_unique WHERE task_id = ANY (ARRAY(SELECT id FROM gone));
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_forget_keys AFTER DELETE ON hostler.tasks
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
EXECUTE FUNCTION hostler.forget_deleted_keys();

-- A task that could run may be put off, and one that ended may be tried again at a later time.
DROP TRIGGER tasks_step ON hostler.tasks;
CREATE TRIGGER tasks_step BEFORE UPDATE ON hostler.tasks FOR EACH ROW
WHEN (
    NEW.id <> OLD.id
    OR NEW.version <> OLD.version + (NEW.state <> OLD.state)::integer
    OR NEW.attempt <> OLD.attempt + (OLD.state = 'pending' AND NEW.state = 'running')::integer
    OR NEW.state <> OLD.state AND NOT CASE OLD.state
        WHEN 'blocked' THEN NEW.state IN ('pending', 'cancelled')
        WHEN 'scheduled' THEN NEW.state IN ('pending', 'cancelled')
        WHEN 'pending' THEN NEW.state IN ('running', 'cancelled', 'scheduled')
        WHEN 'running' THEN NEW.state IN (
            'awaiting_input', 'completed', 'scheduled', 'failed', 'pending', 'cancelled')
        WHEN 'awaiting_input' THEN NEW.state IN (
            'running', 'scheduled', 'failed', 'pending', 'cancelled')
        WHEN 'failed' THEN NEW.state IN ('pending', 'scheduled')
        WHEN 'cancelled' THEN NEW.state IN ('pending', 'scheduled')
        ELSE false
    END
)
EXECUTE FUNCTION hostler.refuse_task_step();
