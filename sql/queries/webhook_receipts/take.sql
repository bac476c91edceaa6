-- webhook_receipts/take: note that the request with key $2 of kind $1 and fingerprint $3 is carried out
--     now. Returns whether it is for us to do that; if not, what was answered to the one before, and its
--     fingerprint. One that was begun longer than $4 milliseconds ago and has no answer is ours.
-- State: none.
-- Locks: the row.
-- Index: webhook_receipts_pkey.
WITH taken AS (
    INSERT INTO hostler.webhook_receipts AS receipt (kind, key, fingerprint)
    VALUES ($1, $2, $3)
    ON CONFLICT (kind, key) DO UPDATE SET at = now()
    WHERE receipt.status IS NULL AND receipt.fingerprint = EXCLUDED.fingerprint
        AND receipt.at < now() - $4::bigint * interval '1 millisecond'
    RETURNING true AS ours
)
SELECT true AS ours, NULL::bytea AS fingerprint, NULL::integer AS status, NULL::jsonb AS answer FROM taken
UNION ALL
SELECT false, fingerprint, status, answer FROM hostler.webhook_receipts
WHERE kind = $1 AND key = $2 AND NOT EXISTS (SELECT FROM taken);
