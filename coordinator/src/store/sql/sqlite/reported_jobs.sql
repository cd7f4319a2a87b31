-- How the jobs in ?1 (JSON array of ids) are, and who leased them last. Index: primary key.
SELECT j.id, j.state, j.attempt, j.failures, j.worker
FROM json_each(?1) AS v
CROSS JOIN jobs AS j ON j.id = v.value;
