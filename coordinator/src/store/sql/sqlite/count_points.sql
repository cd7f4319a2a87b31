-- Attempt ?2 of job ?1 has ?3 points more, so it is alive. Index: primary key.
UPDATE jobs
SET points = points + ?3, lost = 0
WHERE id = ?1 AND attempt = ?2 AND state = 'leased';
