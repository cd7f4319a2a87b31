-- Jobs in ?1 (JSON array of ids) will have no points but those that are stored. Index: primary key of jobs.
UPDATE jobs
SET points_expected = points
WHERE id IN (SELECT v.value FROM json_each(?1) AS v);
