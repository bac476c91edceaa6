-- history/lanes: every lane of the log.
-- State: none.
-- Locks: none.
-- Index: log_cursors_by_place.
SELECT lane FROM hostler.log_cursors ORDER BY lane;
