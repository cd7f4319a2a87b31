-- Worker ?1 is spoken for by ?2; whoever was first stays. Index: primary key.
INSERT INTO worker_owners (worker, owner)
VALUES (?1, ?2)
ON CONFLICT DO NOTHING;
