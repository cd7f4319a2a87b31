-- Checkpoints of other runs that the jobs in $1 (JSON array of ids) need. Index: primary keys.
SELECT DISTINCT r.digest, n.tag, c.artifact
FROM json_array_elements_text($1::json) AS v (value)
INNER JOIN job_needs AS n ON n.job = v.value::bigint
INNER JOIN runs AS r ON r.id = n.run
INNER JOIN checkpoints AS c ON c.run = n.run AND c.tag = n.tag
ORDER BY r.digest, n.tag;
