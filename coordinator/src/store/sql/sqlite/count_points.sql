-- How many points the jobs in ?1 (JSON array of ids) have. Index: primary key of points.
SELECT v.value AS job, (SELECT count(*) FROM points AS p WHERE p.job = v.value) AS points
FROM json_each(?1) AS v;
