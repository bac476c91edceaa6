-- queues/ensure: make the queues $1, with descriptions $2, paused where $3 says so. A queue that is
--     there gets the new description and stays paused, or not, as it is.
-- State: none.
-- Locks: the rows that change, in the order of their names, so that hosts that start together do
--     not wait for each other in a circle.
-- Index: queues_pkey.
INSERT INTO hostler.queues (name, description, paused)
SELECT name, description, paused
FROM unnest($1::text[], $2::text[], $3::boolean[]) AS given (name, description, paused)
ORDER BY name
ON CONFLICT (name) DO UPDATE
SET description = EXCLUDED.description
WHERE queues.description <> EXCLUDED.description;
