-- Curves of sweep $1 after (position $2, epoch $3, split $4), at most $5, in that order and without sorting.
-- Indexes: primary keys of sweep_runs and curves.
SELECT
    sr.position,
    r.digest,
    r.model,
    r.seed,
    sr.settings,
    c.epoch,
    c.split,
    c.loss,
    c.accuracy,
    c.learning_rate,
    c.seconds
FROM sweep_runs AS sr
INNER JOIN curves AS c ON c.run = sr.run
INNER JOIN runs AS r ON r.id = sr.run
WHERE sr.sweep = $1 AND sr.position >= $2 AND (sr.position, c.epoch, c.split) > ($2, $3, $4)
ORDER BY sr.position, c.epoch, c.split
LIMIT $5;
