-- Sweeps, with how many workers beside ?1 are at work for each. Indexes: workers_of_sweep, jobs_leased.
SELECT w.sweep, count(*)
FROM workers AS w
WHERE
    w.sweep IS NOT NULL
    AND w.id <> ?1
    AND EXISTS (SELECT 1 FROM jobs AS j WHERE j.worker = w.id AND j.state = 'leased')
GROUP BY w.sweep;
