-- Leases and reports write thousands of rows a second, and each reference is looked up for each row by a query of its own, which
-- takes longer than the row. These are true without that: a point is written by a statement that joins its job, whose row is
-- locked and never deleted, and a worker is locked, too, by the transaction that names it.
ALTER TABLE points DROP CONSTRAINT points_job_fkey;
ALTER TABLE points DROP CONSTRAINT points_worker_fkey;
ALTER TABLE jobs DROP CONSTRAINT jobs_worker_fkey;
