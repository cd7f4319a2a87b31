-- The jobs in $1 (JSON array of ids) got further: leases that they lost before count no more. Index: primary key.
UPDATE jobs
SET lost = 0
WHERE id IN (SELECT v.value::bigint FROM json_array_elements_text($1::json) AS v (value)) AND lost > 0 AND state = 'leased';
