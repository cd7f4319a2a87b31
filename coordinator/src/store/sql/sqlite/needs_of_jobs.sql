-- Checkpoints of other runs that the jobs in ?1 (JSON array of ids) need. Index: primary keys.
SELECT DISTINCT r.digest, n.tag, c.artifact
FROM json_each(?1) AS v
CROSS JOIN job_needs AS n ON n.job = v.value
CROSS JOIN runs AS r ON r.id = n.run
CROSS JOIN checkpoints AS c ON c.run = n.run AND c.tag = n.tag
ORDER BY r.digest, n.tag;
