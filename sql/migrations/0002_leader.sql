-- breaking: no
-- Who leads among the hosts. The right to lead is an advisory lock; this row counts the terms, so that
-- what a deposed leader still has under way can be refused, and tells people who leads.
CREATE TABLE hostler.leader (
    one   boolean     PRIMARY KEY DEFAULT true,
    term  bigint      NOT NULL,
    slot  uuid        NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT there_is_one_leader CHECK (one)
);
