-- Line specs of the jobs in ?1 (JSON array of ids). Index: primary keys.
SELECT j.id, l.spec
FROM json_each(?1) AS v
CROSS JOIN jobs AS j ON j.id = v.value
CROSS JOIN lines AS l ON l.id = j.line;
