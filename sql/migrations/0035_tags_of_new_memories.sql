-- breaking: no
-- A statement that enters the tags of new memories by itself says so, and the trigger that does that for all others
-- is not called: it cost such a statement a fifth of its time. The tags of what is replaced are entered anew row by
-- row; before, a trigger over the whole statement was called for that also where nothing was replaced.

DROP TRIGGER memories_tag_new ON hostler.memories;
CREATE TRIGGER memories_tag_new AFTER INSERT ON hostler.memories
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT
    WHEN (current_setting('hostler.tags_are_entered', true) IS DISTINCT FROM 'yes')
    EXECUTE FUNCTION hostler.tag_new_memories();

DROP TRIGGER memories_tag_changed ON hostler.memories;
DROP FUNCTION hostler.tag_changed_memories();
CREATE FUNCTION hostler.tag_changed_memory() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    former text;
BEGIN
    -- One after the other: each is found by the index, whatever is known of how many there are.
    FOREACH former IN ARRAY OLD.tags LOOP
        DELETE FROM hostler.memory_tags
        WHERE session_no = OLD.session_no AND tag = former AND memory_id = OLD.id;
    END LOOP;
    INSERT INTO hostler.memory_tags (session_no, tag, memory_id)
    SELECT DISTINCT NEW.session_no, tag, NEW.id FROM unnest(NEW.tags) AS tag;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hostler.tag_changed_memory() IS
    'Internal: keeps memory_tags as the tags of a replaced memory are.';
CREATE TRIGGER memories_tag_changed AFTER UPDATE ON hostler.memories
    FOR EACH ROW EXECUTE FUNCTION hostler.tag_changed_memory();
