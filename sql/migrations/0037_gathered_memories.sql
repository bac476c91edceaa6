-- breaking: no
-- Hosts enter new memories into the search index themselves, a moment after they were kept. So the list in
-- which they gather may get longer before whoever keeps one has to do it, and wait: that is for those whose
-- host does not get to it.
ALTER INDEX hostler.memories_search SET (gin_pending_list_limit = 4096);
