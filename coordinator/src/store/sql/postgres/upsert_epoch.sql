-- One epoch, if attempt $2 holds training job $1: $3 epoch, $4 split, $5 loss, $6 accuracy, $7 learning rate,
-- $8 seconds. A later attempt replaces what an earlier one wrote. Index: primary keys of jobs and curves.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
INSERT INTO curves (run, epoch, split, loss, accuracy, learning_rate, seconds)
SELECT j.run, $3, $4, $5, $6, $7, $8
FROM jobs AS j
WHERE j.id = $1 AND j.attempt = $2 AND j.expires_at IS NOT NULL
ON CONFLICT (run, epoch, split) DO UPDATE
SET
    loss = excluded.loss,
    accuracy = excluded.accuracy,
    learning_rate = excluded.learning_rate,
    seconds = excluded.seconds;
