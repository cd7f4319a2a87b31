-- The jobs in $1 (JSON array of ids) got further: leases that they lost before count no more. Index: primary key.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
UPDATE jobs
SET lost = 0
WHERE id IN (SELECT v.value::bigint FROM json_array_elements_text($1::json) AS v (value)) AND lost > 0 AND expires_at IS NOT NULL;
