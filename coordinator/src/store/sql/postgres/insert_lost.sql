-- Attempts in $1 (JSON array of {job, attempt, worker}) are lost: $2 now, $3 message.
INSERT INTO job_errors (job, attempt, at, class, message, worker)
SELECT v.job, v.attempt, $2, 'gone', $3, v.worker
FROM json_to_recordset($1::json) AS v (job bigint, attempt bigint, worker bigint);
