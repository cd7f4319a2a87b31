-- Who speaks for worker ?1. Index: primary key.
SELECT owner
FROM worker_owners
WHERE worker = ?1;
