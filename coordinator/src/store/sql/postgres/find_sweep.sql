-- The sweep with id $1, else the newest of that name. Indexes: sweeps_by_sweep_id, sweeps_by_name.
SELECT coalesce(
    (SELECT s.id FROM sweeps AS s WHERE s.sweep_id = $1),
    (SELECT max(s.id) FROM sweeps AS s WHERE s.name = $1)
);
