-- Sweeps that need job $1, newest first, at most 100. Index: sweep_jobs_by_job.
SELECT s.id, s.name
FROM sweep_jobs AS sj
INNER JOIN sweeps AS s ON s.id = sj.sweep
WHERE sj.job = $1
ORDER BY s.id DESC
LIMIT 100;
