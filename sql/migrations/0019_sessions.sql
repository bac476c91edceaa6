-- breaking: no
-- Sessions: what people and their assistants write down about a piece of work, and the tasks that they
-- gave away for it.
--
-- Nothing is counted in advance: a summary counts what there is, and its last activity is that of the
-- newest thing in it. So no counter can drift, and those who write to one session at once do not wait
-- for each other. `id` of everything inside a session comes from one sequence and is new whenever it is
-- replaced: the order of ids is the order of what happened.
--
-- What can be searched has a column `search`. Beside its words that has the number of its session (after
-- U+0001), its type (after U+0002) and its tags: a search within a session, by a type or by tags is one
-- look into one index. Words never begin with a control character, so nothing that is written can pass
-- for a session or a type; tags are compared once more where they count.

CREATE TYPE hostler.session_state AS ENUM ('active', 'paused', 'completed');

CREATE SEQUENCE hostler.session_items;

CREATE TABLE hostler.sessions (
    no           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           text COLLATE "C"      NOT NULL UNIQUE,
    title        text                  NOT NULL,
    context      text                  NOT NULL,
    participants text[]                NOT NULL,
    metadata     jsonb                 NOT NULL,
    state        hostler.session_state NOT NULL DEFAULT 'active',
    created_at   timestamptz           NOT NULL DEFAULT now(),
    changed_at   timestamptz           NOT NULL DEFAULT now(),
    completed_at timestamptz,
    search       tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('english', left(title, 10000)), 'A')
        || to_tsvector('english', left(context, 100000))
        || array_to_tsvector(ARRAY[E'\x01' || no::text])
    ) STORED,
    CONSTRAINT session_names_make_sense CHECK (length(id) BETWEEN 1 AND 200),
    CONSTRAINT session_ends_once CHECK ((state = 'completed') = (completed_at IS NOT NULL))
);
CREATE INDEX sessions_by_state ON hostler.sessions (state, no);
CREATE INDEX sessions_search ON hostler.sessions USING gin (search) WITH (gin_pending_list_limit = 256);

-- The same table as `domain::session::step`.
CREATE FUNCTION hostler.check_session_step() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF (OLD.state, NEW.state) NOT IN (
        ('active', 'active'), ('active', 'paused'), ('active', 'completed'),
        ('paused', 'paused'), ('paused', 'active'), ('paused', 'completed'),
        ('completed', 'completed')
    ) THEN
        RAISE EXCEPTION 'a session can not go from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'session_step';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER sessions_step BEFORE UPDATE OF state ON hostler.sessions
    FOR EACH ROW EXECUTE FUNCTION hostler.check_session_step();

-- `type` is a text: as an enum it could not stand in `search`.
CREATE TABLE hostler.memories (
    id         bigint           PRIMARY KEY DEFAULT nextval('hostler.session_items'),
    session_no bigint           NOT NULL,
    key        text COLLATE "C" NOT NULL,
    type       text COLLATE "C" NOT NULL,
    content    jsonb            NOT NULL,
    tags       text[]           NOT NULL,
    created_at timestamptz      NOT NULL DEFAULT now(),
    changed_at timestamptz      NOT NULL DEFAULT now(),
    search     tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('english', key), 'A')
        || jsonb_to_tsvector('english', content, '["string", "numeric", "boolean"]')
        || array_to_tsvector(tags || ARRAY[E'\x01' || session_no::text, E'\x02' || type])
    ) STORED,
    CONSTRAINT memory_type_is_known CHECK (type IN (
        'idea', 'decision', 'question', 'action_item', 'context', 'preference', 'fact', 'risk', 'note'
    )),
    CONSTRAINT memory_key_is_short CHECK (length(key) BETWEEN 1 AND 255)
);
CREATE UNIQUE INDEX memories_by_key ON hostler.memories (session_no, key);
-- The newest of each type; of all types it is nine short looks.
CREATE INDEX memories_newest ON hostler.memories (session_no, type, id);
CREATE INDEX memories_search ON hostler.memories USING gin (search) WITH (gin_pending_list_limit = 256);

-- The tags of memories once more, in the order in which they are read: the newest of a tag are found
-- without a look at the others, however many there are. Triggers hold it.
CREATE TABLE hostler.memory_tags (
    session_no bigint           NOT NULL,
    tag        text COLLATE "C" NOT NULL,
    memory_id  bigint           NOT NULL,
    PRIMARY KEY (session_no, tag, memory_id)
);

CREATE FUNCTION hostler.tag_memories() RETURNS trigger
LANGUAGE plpgsql
SET enable_seqscan TO 'off'
AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM hostler.memory_tags AS gone
        USING (
            SELECT DISTINCT was.session_no, tag, was.id
            FROM old_rows AS was CROSS JOIN unnest(was.tags) AS tag
        ) AS former
        WHERE gone.session_no = former.session_no AND gone.tag = former.tag
            AND gone.memory_id = former.id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO hostler.memory_tags (session_no, tag, memory_id)
        SELECT DISTINCT now.session_no, tag, now.id
        FROM new_rows AS now CROSS JOIN unnest(now.tags) AS tag;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER memories_tag_new AFTER INSERT ON hostler.memories
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hostler.tag_memories();
CREATE TRIGGER memories_tag_changed AFTER UPDATE ON hostler.memories
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hostler.tag_memories();
CREATE TRIGGER memories_tag_gone AFTER DELETE ON hostler.memories
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION hostler.tag_memories();

-- A part of a conversation. What was said is in `session_texts`.
CREATE TABLE hostler.session_chunks (
    id           bigint           PRIMARY KEY DEFAULT nextval('hostler.session_items'),
    session_no   bigint           NOT NULL,
    name         text COLLATE "C" NOT NULL,
    format       text COLLATE "C" NOT NULL,
    size         bigint           NOT NULL,
    started_at   timestamptz,
    ended_at     timestamptz,
    participants text[]           NOT NULL,
    extracted    jsonb            NOT NULL,
    metadata     jsonb            NOT NULL,
    created_at   timestamptz      NOT NULL DEFAULT now(),
    changed_at   timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT chunk_format_is_known CHECK (format IN ('dialogue', 'summary', 'transcript')),
    CONSTRAINT chunk_name_is_short CHECK (length(name) BETWEEN 1 AND 255)
);
CREATE UNIQUE INDEX session_chunks_by_name ON hostler.session_chunks (session_no, name);
CREATE INDEX session_chunks_newest ON hostler.session_chunks (session_no, id);

-- Something that was made. Its content is in `session_texts`.
CREATE TABLE hostler.artifacts (
    id         bigint           PRIMARY KEY DEFAULT nextval('hostler.session_items'),
    session_no bigint           NOT NULL,
    name       text COLLATE "C" NOT NULL,
    type       text             NOT NULL,
    title      text             NOT NULL,
    format     text             NOT NULL,
    size       bigint           NOT NULL,
    task       text,
    metadata   jsonb            NOT NULL,
    created_at timestamptz      NOT NULL DEFAULT now(),
    changed_at timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT artifact_name_is_short CHECK (length(name) BETWEEN 1 AND 255)
);
CREATE UNIQUE INDEX artifacts_by_name ON hostler.artifacts (session_no, name);
CREATE INDEX artifacts_newest ON hostler.artifacts (session_no, id);

-- The content of chunks and artifacts in pieces: a large one is written and read without ever being in
-- memory as a whole, and all of it can be searched. A piece is short enough for a tsvector.
CREATE TABLE hostler.session_texts (
    item_id    bigint  NOT NULL,
    part       integer NOT NULL,
    session_no bigint  NOT NULL,
    content    text    NOT NULL,
    search     tsvector GENERATED ALWAYS AS (
        to_tsvector('english', content) || array_to_tsvector(ARRAY[E'\x01' || session_no::text])
    ) STORED,
    PRIMARY KEY (item_id, part)
);
CREATE INDEX session_texts_search ON hostler.session_texts USING gin (search) WITH (gin_pending_list_limit = 256);

-- The link to tasks: `name` is what the caller calls the task. `past` is what is known of one that was
-- brought along from elsewhere and never was in a queue here.
CREATE TABLE hostler.session_tasks (
    id          bigint           PRIMARY KEY DEFAULT nextval('hostler.session_items'),
    session_no  bigint           NOT NULL,
    name        text COLLATE "C" NOT NULL,
    task_id     uuid,
    agent       text             NOT NULL,
    type        text             NOT NULL,
    description text             NOT NULL,
    input       jsonb            NOT NULL,
    past        jsonb,
    created_at  timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT session_task_name_is_short CHECK (length(name) BETWEEN 1 AND 255),
    CONSTRAINT session_task_is_here_or_past CHECK ((task_id IS NULL) = (past IS NOT NULL))
);
CREATE UNIQUE INDEX session_tasks_by_name ON hostler.session_tasks (session_no, name);
CREATE INDEX session_tasks_newest ON hostler.session_tasks (session_no, id);

-- What was answered to a request with a key, so that the same request is not carried out twice. Without
-- a status it is being carried out.
CREATE TABLE hostler.webhook_receipts (
    kind        text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    fingerprint bytea            NOT NULL,
    status      integer,
    answer      jsonb,
    at          timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, key),
    CONSTRAINT receipt_is_whole CHECK ((status IS NULL) = (answer IS NULL))
);
CREATE INDEX webhook_receipts_oldest ON hostler.webhook_receipts (at);

COMMENT ON TYPE hostler.session_state IS 'Where a session is in its life.';
COMMENT ON SEQUENCE hostler.session_items IS 'Internal: numbers what is in sessions, in the order in which it was written.';
COMMENT ON TABLE hostler.sessions IS 'What people and assistants write down about a piece of work. id is the caller''s name for it.';
COMMENT ON TABLE hostler.memories IS 'What is kept in a session under a key: ideas, decisions, questions and so on.';
COMMENT ON TABLE hostler.memory_tags IS 'Internal: the tags of memories, in the order in which they are read. Held by triggers.';
COMMENT ON TABLE hostler.session_chunks IS 'Parts of the conversation of a session; what was said is in session_texts.';
COMMENT ON TABLE hostler.artifacts IS 'What was made in a session; the content is in session_texts.';
COMMENT ON TABLE hostler.session_texts IS 'The content of chunks and artifacts, in pieces.';
COMMENT ON TABLE hostler.session_tasks IS 'The tasks that were given away in a session, by the names that the caller has for them.';
COMMENT ON TABLE hostler.webhook_receipts IS 'What was answered to requests with a key, so that none is carried out twice.';
COMMENT ON FUNCTION hostler.check_session_step() IS 'Internal: refuses a step that a session can not take.';
COMMENT ON FUNCTION hostler.tag_memories() IS 'Internal: keeps memory_tags as the tags of memories are.';
COMMENT ON SEQUENCE hostler.sessions_no_seq IS 'Internal: numbers sessions.';
