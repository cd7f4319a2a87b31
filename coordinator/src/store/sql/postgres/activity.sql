-- Training jobs of sweep $1 that are leased, by id. Indexes: jobs_leased (few rows), sweep_jobs_by_job.
SELECT j.id, w.name, r.model, r.seed, j.progress, j.fraction
FROM jobs AS j
INNER JOIN runs AS r ON r.id = j.run
INNER JOIN workers AS w ON w.id = j.worker
WHERE
    j.state = 'leased'
    AND j.kind = 'train'
    AND EXISTS (SELECT 1 FROM sweep_jobs AS sj WHERE sj.job = j.id AND sj.sweep = $1)
ORDER BY j.id;
