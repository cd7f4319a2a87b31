-- Jobs that sweep $1, which is being submitted, shares with others and that are not over stay as they are until the
-- transaction ends: what happens to them meanwhile would be counted neither now nor later. Index: primary key of sweep_jobs,
-- sweep_jobs_by_job.
SELECT 1
FROM sweep_jobs AS own
INNER JOIN jobs AS j ON j.id = own.job
WHERE
    own.sweep = $1
    AND j.state IN ('queued', 'leased')
    AND EXISTS (SELECT 1 FROM sweep_jobs AS sj WHERE sj.job = own.job AND sj.sweep <> $1)
ORDER BY j.id
FOR NO KEY UPDATE OF j;
