-- breaking: no
-- Who changed what, when, and from where; never what the change held.
--
-- Rows are added and, once their term is over, deleted; nothing changes one. Whoever adds rows takes
-- turns (audit/turn), so that numbers are seen in their order and a reader misses none.

CREATE TABLE hostler.audit (
    number    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id        uuid        NOT NULL CONSTRAINT audit_once UNIQUE,
    at        timestamptz NOT NULL,
    host      text        NOT NULL,
    who       text        NOT NULL,
    peer      text,
    surface   text        NOT NULL
        CHECK (surface IN ('http', 'webhook', 'mcp', 'signal', 'host', 'cli')),
    operation text        NOT NULL,
    object    text        NOT NULL,
    outcome   text        NOT NULL CHECK (outcome IN ('done', 'refused', 'failed')),
    status    integer,
    count     integer     NOT NULL CHECK (count >= 1),
    request   text,
    CONSTRAINT what_was_done_is_told_one_by_one CHECK (count = 1 OR outcome <> 'done')
);
COMMENT ON TABLE hostler.audit IS
    'Who changed what, when, and from where, and who was refused; never what a change held.';
CREATE INDEX audit_at ON hostler.audit (at);
COMMENT ON INDEX hostler.audit_at IS 'For those whose term is over, and for times.';

CREATE FUNCTION hostler.audit_stands() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of hostler.audit is never changed' USING ERRCODE = 'restrict_violation';
END
$$;
COMMENT ON FUNCTION hostler.audit_stands() IS 'Trigger of audit: refuses any change of a row.';
CREATE TRIGGER audit_stands
BEFORE UPDATE ON hostler.audit FOR EACH STATEMENT EXECUTE FUNCTION hostler.audit_stands();
COMMENT ON SEQUENCE hostler.audit_number_seq IS
    'The places of the records: one that is written later has a higher one.';
