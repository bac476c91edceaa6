-- queues/for_people: make queue $1, with description $2, if it is not there.
-- State: none.
-- Locks: the row, if it is new.
-- Index: queues_pkey.
INSERT INTO hostler.queues (name, description) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING;
