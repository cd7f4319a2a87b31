-- Workers that were not heard of until $1 are gone.
UPDATE workers
SET state = 'gone', sweep = NULL
WHERE state <> 'gone' AND expires_at <= $1;
