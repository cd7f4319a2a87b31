-- Lines in ?1 (JSON array of digests) with every other that differs from it in its alphas alone.
-- Indexes: UNIQUE (digest), lines_of_family.
SELECT l.id AS line, l.spec, o.id AS other, o.spec AS other_spec
FROM json_each(?1) AS v
CROSS JOIN lines AS l ON l.digest = v.value
CROSS JOIN lines AS o ON o.family = l.family AND o.id <> l.id;
