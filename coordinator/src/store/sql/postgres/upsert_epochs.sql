-- Epochs, where the attempt holds its training job: $1 JSON array of {job, attempt, epoch, split, loss, accuracy,
-- learning_rate, seconds}, each epoch and split once. A later attempt replaces what an earlier one wrote.
-- Index: primary keys of jobs and curves.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
INSERT INTO curves (run, epoch, split, loss, accuracy, learning_rate, seconds)
SELECT
    j.run,
    v.epoch,
    v.split,
    v.loss,
    v.accuracy,
    v.learning_rate,
    v.seconds
FROM json_to_recordset($1::json) AS v (
    job bigint, attempt bigint, epoch bigint, split text,
    loss double precision, accuracy double precision, learning_rate double precision, seconds double precision
)
INNER JOIN jobs AS j ON j.id = v.job
WHERE j.attempt = v.attempt AND j.expires_at IS NOT NULL
ON CONFLICT (run, epoch, split) DO UPDATE
SET
    loss = excluded.loss,
    accuracy = excluded.accuracy,
    learning_rate = excluded.learning_rate,
    seconds = excluded.seconds;
