-- session_texts/add: the content of item $1 of session number $2 goes on with the pieces $4, the first of
--     which is the piece number $3.
-- State: none.
-- Locks: none; the caller holds the session.
-- Index: session_texts_pkey.
INSERT INTO hostler.session_texts (item_id, part, session_no, content)
SELECT $1, $3 + piece.place::integer - 1, $2, piece.content
FROM unnest($4::text[]) WITH ORDINALITY AS piece (content, place)
RETURNING part;
