-- Whether job $1 has the measure of split $2 and name $3. Index: primary key.
SELECT EXISTS (SELECT 1 FROM measures WHERE job = $1 AND split = $2 AND name = $3);
