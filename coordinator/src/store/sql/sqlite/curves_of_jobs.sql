-- What is measured of the jobs in ?1 (JSON array of ids) whose grids are refined. Indexes: primary keys.
SELECT p.job, p.split, p.place, p.alpha, p.loss
FROM json_each(?1) AS v
CROSS JOIN jobs AS j ON j.id = v.value
CROSS JOIN lines AS l ON l.id = j.line AND l.budget > 0
CROSS JOIN points AS p ON p.job = j.id;
