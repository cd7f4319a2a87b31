-- Points of jobs that have none, each once, where the attempt holds its job: $1 to $9 arrays of job, attempt, split, place,
-- alpha, loss, accuracy, count, worker; $10 the jobs, each once.
-- Without a look for what is there, which would take as long as all else. Index: primary key of jobs.
-- Jobs are looked up once each and compared in a hash table: `IS TRUE` keeps the planner from joining them row by row. Arrays are
-- unnested side by side, as columns: as a table each would be put down and read again.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
INSERT INTO points (job, split, place, alpha, loss, accuracy, count, worker)
SELECT v.job, v.split, v.place, v.alpha, v.loss, v.accuracy, v.count, v.worker
FROM (
    SELECT
        unnest($1::bigint[]) AS job,
        unnest($2::bigint[]) AS attempt,
        unnest($3::text[]) AS split,
        unnest($4::bigint[]) AS place,
        unnest($5::double precision[]) AS alpha,
        unnest($6::double precision[]) AS loss,
        unnest($7::double precision[]) AS accuracy,
        unnest($8::bigint[]) AS count,
        unnest($9::bigint[]) AS worker
) AS v
WHERE ((v.job, v.attempt) IN (
    SELECT h.id, h.attempt FROM jobs AS h WHERE h.id = ANY ($10::bigint[]) AND h.expires_at IS NOT NULL
)) IS TRUE;
