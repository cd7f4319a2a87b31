-- For the rest of this transaction: rows are looked up by their keys, in the order of the statement. (Custom plans are not
-- forced: the checks of foreign keys would be planned anew for each row.)
SELECT
    set_config('join_collapse_limit', '1', TRUE),
    set_config('enable_hashjoin', 'off', TRUE),
    set_config('enable_mergejoin', 'off', TRUE);
