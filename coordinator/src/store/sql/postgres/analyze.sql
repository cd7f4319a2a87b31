-- What the planner knows of the tables that a submission fills.
ANALYZE runs, lines, jobs, sweep_runs, sweep_jobs, job_needs, sweep_totals;
