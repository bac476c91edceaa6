-- batches/close: let no more tasks be added to the batch $1; call it off where $2 says so. Returns
--     its row; none if it is not there.
-- State: none. A trigger notes that it is done if all of its tasks have ended, and submits its
--     callbacks.
-- Locks: the batch's row.
-- Index: batches_pkey.
UPDATE hostler.batches
SET closed_at = coalesce(closed_at, now()),
    cancelled_at = CASE
        WHEN $2 AND done_at IS NULL THEN coalesce(cancelled_at, now()) ELSE cancelled_at
    END
WHERE id = $1
RETURNING id, done_at IS NOT NULL AS is_done;
