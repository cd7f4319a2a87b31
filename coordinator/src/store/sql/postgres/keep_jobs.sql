-- Those of the jobs in $1 (JSON array of ids) that are leased stay as they are until the transaction ends. They are locked by
-- id, as everything locks leased jobs. Index: primary key.
SELECT 1
FROM jobs AS j
WHERE
    j.id = ANY (ARRAY(SELECT v.value::bigint FROM json_array_elements_text($1::json) AS v (value)))
    AND j.state = 'leased'
ORDER BY j.id
FOR NO KEY UPDATE;
