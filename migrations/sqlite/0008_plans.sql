-- What is asked often takes no longer where more is stored.

-- A claim asks what failed lately on its machine, whoever worked there: a few rows, however many workers ever were.
CREATE INDEX job_errors_lately ON job_errors (at, worker) WHERE class = 'machine';
