-- memories/enter: put what has gathered for the search index of memories where it belongs in it. Returns
--     over how many pages it was.
-- State: none.
-- Locks: the list, against others who do the same; whoever keeps memories or searches does not wait.
-- Index: memories_search.
SELECT gin_clean_pending_list('hostler.memories_search') AS pages;
