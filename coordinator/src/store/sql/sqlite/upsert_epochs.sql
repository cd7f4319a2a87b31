-- Epochs, where the attempt holds its training job, each epoch and split once. A later attempt replaces what an earlier one
-- wrote. Index: primary keys of jobs and curves.
WITH v (job, attempt, epoch, split, loss, accuracy, learning_rate, seconds) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?))

INSERT INTO curves (run, epoch, split, loss, accuracy, learning_rate, seconds)
SELECT j.run, v.epoch, v.split, v.loss, v.accuracy, v.learning_rate, v.seconds
FROM v
CROSS JOIN jobs AS j ON j.id = v.job
WHERE j.attempt = v.attempt AND j.state = 'leased'
ON CONFLICT (run, epoch, split) DO UPDATE
SET
    loss = excluded.loss,
    accuracy = excluded.accuracy,
    learning_rate = excluded.learning_rate,
    seconds = excluded.seconds;
