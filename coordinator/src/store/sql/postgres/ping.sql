-- Whether the database answers.
SELECT 1 FROM sweeps LIMIT 1;
