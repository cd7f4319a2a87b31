-- Points that queued lines of sweep $1 share with lines of the same run that were measured before: $2 JSON array of {line,
-- place, other, other_place}. Indexes: primary keys of sweep_runs and points, jobs_line.
INSERT INTO points (job, split, place, alpha, loss, accuracy, count, worker)
SELECT j.id, p.split, v.place, p.alpha, p.loss, p.accuracy, p.count, p.worker
FROM sweep_runs AS sr
CROSS JOIN json_to_recordset($2::json) AS v (line bigint, place bigint, other bigint, other_place bigint)
INNER JOIN jobs AS j ON j.run = sr.run AND j.line = v.line AND j.kind = 'line' AND j.state = 'queued'
INNER JOIN jobs AS o ON o.run = sr.run AND o.line = v.other AND o.kind = 'line'
INNER JOIN points AS p ON p.job = o.id AND p.place = v.other_place
WHERE sr.sweep = $1
ON CONFLICT (job, split, place) DO NOTHING;
