-- Jobs in $1 (JSON array of ids) will have no points but those that are stored. Index: primary key of jobs.
UPDATE jobs
SET points_expected = points
WHERE id IN (SELECT v.value::bigint FROM json_array_elements_text($1::json) AS v (value));
