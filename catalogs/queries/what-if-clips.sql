-- Clips, hours and people that other limits of a rule would leave, all else as it is, before the cap on clips per person
WITH
recipes AS (
    SELECT
        (recipe ->> '$.speech.select.min_speech_s')::DOUBLE AS min_speech_s,
        (recipe ->> '$.speech.select.max_clipped_share')::DOUBLE AS max_clipped_share
    FROM snapshots WHERE current
),
-- a measurement passes a limit where sign * measurement <= sign * limit; limits are compared as measurements are stored
rules (rule, measure, sign, in_force, heights) AS (
    SELECT 'too_short', 'speech_s', -1, min_speech_s,
        [-10, -8, -5, -4, -3, -2, -1.5, -1, -0.5, -min_speech_s]::DOUBLE[] FROM recipes
    UNION ALL
    SELECT 'clipped', 'clipped_share', 1, max_clipped_share,
        [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, max_clipped_share]::DOUBLE[] FROM recipes
),
-- sign * measurement; null where the clip fails the other rule
near AS MATERIALIZED (
    SELECT
        person,
        speech_s,
        CASE WHEN reason IS DISTINCT FROM 'clipped' THEN -speech_s END AS too_short,
        CASE WHEN reason IS DISTINCT FROM 'too_short' THEN clipped_share END AS clipped
    FROM utterances
    WHERE (reason IS NULL OR reason IN ('over_cap', 'too_short', 'clipped'))
        AND (reasons IS NULL OR len(reasons) <= 1)
),
-- by how many of the heights a clip does not pass
gained AS (
    SELECT
        'too_short' AS rule,
        steps_below(too_short, [-10, -8, -5, -4, -3, -2, -1.5, -1, -0.5]::FLOAT[])
            + (-min_speech_s::FLOAT < too_short)::TINYINT AS step,
        count(*) AS clips,
        sum(speech_s) AS speech_s
    FROM near CROSS JOIN recipes WHERE too_short IS NOT NULL GROUP BY step
    UNION ALL
    SELECT
        'clipped',
        steps_below(clipped, [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]::FLOAT[])
            + (max_clipped_share::FLOAT < clipped)::TINYINT AS step,
        count(*),
        sum(speech_s)
    FROM near CROSS JOIN recipes WHERE clipped IS NOT NULL GROUP BY step
),
best AS (SELECT person, min(too_short) AS too_short, min(clipped) AS clipped FROM near GROUP BY person),
tried AS (SELECT *, unnest(list_distinct(heights)) AS height FROM rules),
limits AS (SELECT *, len(list_filter(heights, lambda x: x::FLOAT < height::FLOAT)) AS step FROM tried)
SELECT
    limits.rule,
    measure,
    CASE sign WHEN 1 THEN 'at most' ELSE 'at least' END AS must_be,
    sign * height AS limit_,
    sign * height = in_force AS in_force,
    coalesce(sum(clips), 0)::BIGINT AS clips,
    round(coalesce(sum(speech_s), 0) / 3600, 4) AS hours,
    (
        SELECT count(*) FROM best
        WHERE CASE limits.rule WHEN 'clipped' THEN clipped ELSE too_short END <= height::FLOAT
    ) AS people
FROM limits LEFT JOIN gained ON gained.rule = limits.rule AND gained.step <= limits.step
GROUP BY limits.rule, measure, sign, height, in_force
ORDER BY limits.rule, height;
