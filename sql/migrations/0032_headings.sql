-- breaking: no
-- Artifacts, and the tasks that were given away in a session, are found by what they are called and by what they
-- are, too. The piece -1 of an item is its heading: it is searched as all pieces are, and no part of the content,
-- which begins at 0.

INSERT INTO hostler.session_texts (item_id, part, session_no, content)
SELECT id, -1, session_no, concat_ws(E'\n', title, name, type) FROM hostler.artifacts
UNION ALL
SELECT id, -1, session_no, concat_ws(E'\n', left(description, 100000), name, type, agent)
FROM hostler.session_tasks;

COMMENT ON TABLE hostler.session_texts IS
    'The content of chunks and artifacts, in pieces from 0 on; -1 is the heading of an artifact or a task.';
