-- The jobs in ?1 (JSON array of ids) got further: leases that they lost before count no more. Index: primary key.
UPDATE jobs
SET lost = 0
WHERE id IN (SELECT v.value FROM json_each(?1) AS v) AND lost > 0 AND state = 'leased';
