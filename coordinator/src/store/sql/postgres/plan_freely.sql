-- For the rest of this transaction: any plan, for the tables as they are now.
SELECT
    set_config('plan_cache_mode', 'force_custom_plan', TRUE),
    set_config('join_collapse_limit', '8', TRUE),
    set_config('enable_hashjoin', 'on', TRUE),
    set_config('enable_mergejoin', 'on', TRUE),
    set_config('enable_seqscan', 'on', TRUE);
