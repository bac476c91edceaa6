-- breaking: no
-- What holds memory_tags does no more than there is to do. Before, each statement that kept memories also looked
-- for the tags of those that it replaced, though there were none, and read all of memory_tags where the planner
-- thought that best: the cost of keeping a memory grew with all that were kept.

DROP TRIGGER memories_tag_new ON hostler.memories;
DROP TRIGGER memories_tag_changed ON hostler.memories;
DROP TRIGGER memories_tag_gone ON hostler.memories;
DROP FUNCTION hostler.tag_memories();

CREATE FUNCTION hostler.tag_new_memories() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO hostler.memory_tags (session_no, tag, memory_id)
    SELECT DISTINCT now.session_no, tag, now.id
    FROM new_rows AS now CROSS JOIN unnest(now.tags) AS tag;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hostler.tag_new_memories() IS 'Internal: keeps the tags of new memories in memory_tags.';

-- Also called for a statement that could have replaced something, and did not. What is replaced is a handful: each
-- row is found by the index, whatever is known of how many there are.
CREATE FUNCTION hostler.tag_changed_memories() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    former record;
BEGIN
    FOR former IN
        SELECT DISTINCT was.session_no, tag, was.id
        FROM old_rows AS was CROSS JOIN unnest(was.tags) AS tag
    LOOP
        DELETE FROM hostler.memory_tags
        WHERE session_no = former.session_no AND tag = former.tag AND memory_id = former.id;
    END LOOP;
    IF EXISTS (SELECT FROM new_rows) THEN
        INSERT INTO hostler.memory_tags (session_no, tag, memory_id)
        SELECT DISTINCT now.session_no, tag, now.id
        FROM new_rows AS now CROSS JOIN unnest(now.tags) AS tag;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hostler.tag_changed_memories() IS
    'Internal: keeps memory_tags as the tags of replaced memories are.';

-- A session that is deleted takes all of its memories along: they are many, and joined.
CREATE FUNCTION hostler.untag_memories() RETURNS trigger
LANGUAGE plpgsql
SET enable_seqscan TO 'off'
AS $$
BEGIN
    DELETE FROM hostler.memory_tags AS gone
    USING (
        SELECT DISTINCT was.session_no, tag, was.id
        FROM old_rows AS was CROSS JOIN unnest(was.tags) AS tag
    ) AS former
    WHERE gone.session_no = former.session_no AND gone.tag = former.tag
        AND gone.memory_id = former.id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hostler.untag_memories() IS
    'Internal: takes the tags of deleted memories out of memory_tags.';

CREATE TRIGGER memories_tag_new AFTER INSERT ON hostler.memories
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hostler.tag_new_memories();
CREATE TRIGGER memories_tag_changed AFTER UPDATE ON hostler.memories
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hostler.tag_changed_memories();
CREATE TRIGGER memories_tag_gone AFTER DELETE ON hostler.memories
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hostler.untag_memories();
