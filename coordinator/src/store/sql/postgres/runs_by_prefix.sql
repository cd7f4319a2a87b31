-- Up to two runs whose digests lie in [$1, $2): those that begin like $1. Index: UNIQUE (digest).
SELECT id
FROM runs
WHERE digest >= $1 AND digest < $2
LIMIT 2;
