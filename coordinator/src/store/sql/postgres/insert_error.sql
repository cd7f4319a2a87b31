-- What ended attempt $2 of job $1: $3 now, $4 class, $5 message, $6 worker.
INSERT INTO job_errors (job, attempt, at, class, message, worker)
VALUES ($1, $2, $3, $4, $5, $6);
