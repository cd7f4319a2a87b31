-- How the jobs in $1 (ids) are, and who leased them last. Index: primary key.
SELECT j.id, j.run, j.line, j.state, j.attempt, j.failures, j.worker, j.points, j.points_expected
FROM jobs AS j
WHERE j.id = ANY ($1::bigint[]);
