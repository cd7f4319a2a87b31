-- Line specs of the lines in ?1 (JSON array of ids). Index: primary key.
SELECT l.id, l.spec
FROM json_each(?1) AS v
CROSS JOIN lines AS l ON l.id = v.value;
