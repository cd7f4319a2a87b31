-- The worker of id $1 (NULL: none) or the newest of name $2.
SELECT id
FROM workers
WHERE id = $1 OR name = $2
ORDER BY (id = $1) DESC NULLS LAST, id DESC
LIMIT 1;
