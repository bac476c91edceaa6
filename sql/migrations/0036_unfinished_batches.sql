-- breaking: no
-- Those batches that are not done are listed without a look at all that are.

CREATE INDEX batches_unfinished ON hostler.batches (id) WHERE done_at IS NULL;
COMMENT ON INDEX hostler.batches_unfinished IS 'For the list of those that are not done.';
