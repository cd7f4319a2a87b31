-- Attempts in ?1 (JSON array of {job, attempt, worker}) are lost: ?2 now, ?3 message.
INSERT INTO job_errors (job, attempt, at, class, message, worker)
SELECT
    v.value ->> 'job',
    v.value ->> 'attempt',
    ?2,
    'gone',
    ?3,
    v.value ->> 'worker'
FROM json_each(?1) AS v;
