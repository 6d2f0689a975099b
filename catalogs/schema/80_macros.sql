-- Of named queries.

-- How many of at most twelve steps lie below x; null where x is. Quick where the list is written out.
CREATE MACRO steps_below(x, steps) AS
    (coalesce(steps[1], 'inf'::FLOAT) < x)::TINYINT
    + (coalesce(steps[2], 'inf'::FLOAT) < x)::TINYINT
    + (coalesce(steps[3], 'inf'::FLOAT) < x)::TINYINT
    + (coalesce(steps[4], 'inf'::FLOAT) < x)::TINYINT
    + (coalesce(steps[5], 'inf'::FLOAT) < x)::TINYINT
    + (coalesce(steps[6], 'inf'::FLOAT) < x)::TINYINT
    + (coalesce(steps[7], 'inf'::FLOAT) < x)::TINYINT
    + (coalesce(steps[8], 'inf'::FLOAT) < x)::TINYINT
    + (coalesce(steps[9], 'inf'::FLOAT) < x)::TINYINT
    + (coalesce(steps[10], 'inf'::FLOAT) < x)::TINYINT
    + (coalesce(steps[11], 'inf'::FLOAT) < x)::TINYINT
    + (coalesce(steps[12], 'inf'::FLOAT) < x)::TINYINT;
