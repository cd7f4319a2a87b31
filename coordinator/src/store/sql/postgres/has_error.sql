-- Whether attempt $2 of job $1 is known to have failed. Index: primary key.
SELECT EXISTS (SELECT 1 FROM job_errors WHERE job = $1 AND attempt = $2);
