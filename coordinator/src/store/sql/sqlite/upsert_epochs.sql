-- Epochs, where the attempt holds its training job: ?1 JSON array of {job, attempt, epoch, split, loss, accuracy,
-- learning_rate, seconds}, each epoch and split once. A later attempt replaces what an earlier one wrote.
-- Index: primary keys of jobs and curves.
INSERT INTO curves (run, epoch, split, loss, accuracy, learning_rate, seconds)
SELECT
    j.run,
    v.value ->> 'epoch',
    v.value ->> 'split',
    v.value ->> 'loss',
    v.value ->> 'accuracy',
    v.value ->> 'learning_rate',
    v.value ->> 'seconds'
FROM json_each(?1) AS v
CROSS JOIN jobs AS j ON j.id = v.value ->> 'job'
WHERE j.attempt = v.value ->> 'attempt' AND j.state = 'leased'
ON CONFLICT (run, epoch, split) DO UPDATE
SET
    loss = excluded.loss,
    accuracy = excluded.accuracy,
    learning_rate = excluded.learning_rate,
    seconds = excluded.seconds;
