-- Sweeps, and workers that are not gone.
SELECT
    (SELECT count(*) FROM sweeps) AS sweeps,
    (SELECT count(*) FROM workers WHERE state <> 'gone') AS workers;
