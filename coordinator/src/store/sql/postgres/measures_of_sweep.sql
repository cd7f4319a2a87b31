-- Measures of sweep $1 after (position $2, split $3, name $4), at most $5, in that order and without sorting.
-- INNER JOIN keeps the order of the tables. Indexes: UNIQUE (sweep, position), primary key of measures.
SELECT
    sj.position,
    r.digest,
    r.model,
    r.seed,
    sr.settings,
    l.from_tag,
    l.to_tag,
    l.mask,
    l.hold,
    l.batch_norm,
    l.elsewhere,
    l.align,
    l.normalize,
    m.split,
    m.name,
    m.value
FROM sweep_jobs AS sj
INNER JOIN measures AS m ON m.job = sj.job
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN lines AS l ON l.id = j.line
INNER JOIN runs AS r ON r.id = j.run
INNER JOIN sweep_runs AS sr ON sr.sweep = sj.sweep AND sr.run = j.run
WHERE sj.sweep = $1 AND sj.position >= $2 AND (sj.position, m.split, m.name) > ($2, $3, $4)
ORDER BY sj.position, m.split, m.name
LIMIT $5;
