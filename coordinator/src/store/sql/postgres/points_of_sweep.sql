-- Points of sweep $1 after (position $2, split $3, place $4), at most $5, in that order and without sorting.
-- INNER JOIN keeps the order of the tables. Indexes: UNIQUE (sweep, position), primary key of points.
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
    p.split,
    p.place,
    p.alpha,
    p.loss,
    p.accuracy,
    p.count,
    p.place >= l.grid AS refined
FROM sweep_jobs AS sj
INNER JOIN points AS p ON p.job = sj.job
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN lines AS l ON l.id = j.line
INNER JOIN runs AS r ON r.id = j.run
INNER JOIN sweep_runs AS sr ON sr.sweep = sj.sweep AND sr.run = j.run
WHERE sj.sweep = $1 AND sj.position >= $2 AND (sj.position, p.split, p.place) > ($2, $3, $4)
ORDER BY sj.position, p.split, p.place
LIMIT $5;
