-- Lines in $1 (JSON array of digests) with every other that differs from it in its alphas alone.
-- Indexes: UNIQUE (digest), lines_of_family.
SELECT l.id AS line, l.spec, o.id AS other, o.spec AS other_spec
FROM json_array_elements_text($1::json) AS v (value)
INNER JOIN lines AS l ON l.digest = v.value
INNER JOIN lines AS o ON o.family = l.family AND o.id <> l.id;
