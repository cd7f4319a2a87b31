-- For the rest of this transaction: plans for the tables as they are now, and rows by their keys, in the order of the statement.
SELECT
    set_config('plan_cache_mode', 'force_custom_plan', TRUE),
    set_config('join_collapse_limit', '1', TRUE),
    set_config('enable_hashjoin', 'off', TRUE),
    set_config('enable_mergejoin', 'off', TRUE);
