-- When a sweep was cancelled last. Sweeps are few.
SELECT max(cancelled_at)::text FROM sweeps;
