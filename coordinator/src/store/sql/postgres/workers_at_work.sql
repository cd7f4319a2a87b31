-- Sweeps, with how many workers beside $1 are at work for each. Indexes: workers_of_sweep, jobs_leased.
SELECT w.sweep, count(*)
FROM workers AS w
CROSS JOIN LATERAL (
    SELECT j.id FROM jobs AS j WHERE j.worker = w.id AND j.state = 'leased' ORDER BY j.worker, j.expires_at LIMIT 1
) AS held
WHERE w.sweep IS NOT NULL AND w.id <> $1
GROUP BY w.sweep;
