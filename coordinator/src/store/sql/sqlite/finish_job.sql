-- Attempt ?2 of job ?1 is complete at ?3 after ?4 seconds with ?5 threads, if all its points are stored.
-- Index: primary key.
UPDATE jobs
SET
    state = 'done', finished_at = ?3, seconds = ?4, threads = ?5, expires_at = NULL, fraction = 1, progress = '',
    lost = 0, error = NULL, error_class = NULL
WHERE id = ?1 AND attempt = ?2 AND state = 'leased' AND points = points_expected;
