-- Those of the jobs in $1 (JSON array of ids) that are leased stay as they are until the transaction ends. They are locked by
-- id, as everything locks leased jobs. Index: primary key.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
SELECT 1
FROM jobs AS j
WHERE
    j.id = ANY (ARRAY(SELECT v.value::bigint FROM json_array_elements_text($1::json) AS v (value)))
    AND j.expires_at IS NOT NULL
ORDER BY j.id
FOR NO KEY UPDATE;
