-- The run of training job $1 is trained: nobody goes on from its snapshot any more. Indexes: primary keys.
DELETE FROM snapshots
WHERE run = (SELECT j.run FROM jobs AS j WHERE j.id = $1 AND j.state = 'done');
