-- Workers that were not heard of until $1 are gone.
UPDATE workers
SET state = 'gone'
WHERE state <> 'gone' AND expires_at <= $1;
