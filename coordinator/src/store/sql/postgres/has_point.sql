-- Whether job $1 has the point at split $2, place $3. Index: primary key.
SELECT EXISTS (SELECT 1 FROM points WHERE job = $1 AND split = $2 AND place = $3);
