-- session_texts/read: up to $3 pieces of the content of item $1, from piece number $2 on.
-- State: none.
-- Locks: none.
-- Index: session_texts_pkey.
SELECT content FROM hostler.session_texts
WHERE item_id = $1 AND part >= $2 ORDER BY part LIMIT $3;
