-- Epochs, where the attempt holds its training job: $1 to $8 arrays of job, attempt, epoch, split, loss, accuracy,
-- learning_rate, seconds, each epoch and split once. A later attempt replaces what an earlier one wrote.
-- Index: primary keys of jobs and curves.
-- Jobs are looked up one by one (LATERAL): whatever the planner thinks of how many are leased, it would not read them all.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
INSERT INTO curves (run, epoch, split, loss, accuracy, learning_rate, seconds)
SELECT j.run, v.epoch, v.split, v.loss, v.accuracy, v.learning_rate, v.seconds
FROM unnest(
    $1::bigint[], $2::bigint[], $3::bigint[], $4::text[],
    $5::double precision[], $6::double precision[], $7::double precision[], $8::double precision[]
) AS v (job, attempt, epoch, split, loss, accuracy, learning_rate, seconds)
CROSS JOIN LATERAL (
    SELECT h.run FROM jobs AS h WHERE h.id = v.job AND h.attempt = v.attempt AND h.expires_at IS NOT NULL LIMIT 1
) AS j
ON CONFLICT (run, epoch, split) DO UPDATE
SET
    loss = excluded.loss,
    accuracy = excluded.accuracy,
    learning_rate = excluded.learning_rate,
    seconds = excluded.seconds;
