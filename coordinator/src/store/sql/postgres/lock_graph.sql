-- One at a time changes which job waits for which, or what waits: submissions, cancellations, retries, ends of trainings,
-- expiry. Held until the transaction ends.
SELECT pg_advisory_xact_lock($1);
