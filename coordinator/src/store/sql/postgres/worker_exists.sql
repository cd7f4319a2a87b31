-- Whether worker $1 registered. Index: primary key.
SELECT EXISTS (SELECT 1 FROM workers WHERE id = $1);
