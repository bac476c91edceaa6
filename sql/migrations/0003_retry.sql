-- breaking: no
-- What a task says of how its failed attempts are tried again; null for nearly all, which costs nothing.
-- It stands in `tasks` because every claim returns it.
ALTER TABLE hostler.tasks ADD COLUMN retry jsonb;
