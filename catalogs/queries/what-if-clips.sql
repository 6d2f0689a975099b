-- Clips, hours and people that other limits of a rule would leave, all else as it is, before the cap on clips per person
WITH
recipes AS (SELECT recipe -> '$.speech.select' AS clips FROM snapshots WHERE current),
rules (rule, measure, sign, in_force, tried) AS (
    SELECT 'too_short', 'speech_s', -1, (clips ->> '$.min_speech_s')::DOUBLE,
        [0.5, 1, 1.5, 2, 3, 4, 5, 8, 10]::DOUBLE[] FROM recipes
    UNION ALL
    SELECT 'clipped', 'clipped_share', 1, (clips ->> '$.max_clipped_share')::DOUBLE,
        [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2] FROM recipes
),
-- of each rule the limits from strict to lenient, stored as measurements are; one passes where sign * one <= height
stairs AS (
    SELECT
        rule,
        measure,
        sign,
        in_force,
        list_sort(list_transform(list_distinct(list_append(tried, in_force)), lambda x: sign * x)) AS heights,
        heights::FLOAT[] AS steps
    FROM rules
),
near AS MATERIALIZED (
    SELECT
        person,
        speech_s,
        CASE WHEN reason IS DISTINCT FROM 'clipped' THEN -speech_s END AS too_short,
        CASE WHEN reason IS DISTINCT FROM 'too_short' THEN clipped_share END AS clipped
    FROM utterances
    WHERE reason IS NULL
        OR reason = 'over_cap'
        OR reason IN ('too_short', 'clipped') AND len(reasons) = 1
),
gained AS (
    SELECT rule, len(list_filter(steps, lambda x: x < too_short)) AS step, count(*) AS clips, sum(speech_s) AS speech_s
    FROM near JOIN stairs ON rule = 'too_short'
    WHERE too_short IS NOT NULL GROUP BY rule, step
    UNION ALL
    SELECT rule, len(list_filter(steps, lambda x: x < clipped)) AS step, count(*), sum(speech_s)
    FROM near JOIN stairs ON rule = 'clipped'
    WHERE clipped IS NOT NULL GROUP BY rule, step
),
best AS (SELECT person, min(too_short) AS too_short, min(clipped) AS clipped FROM near GROUP BY person),
limits AS (SELECT *, unnest(heights) AS height, generate_subscripts(heights, 1) - 1 AS step FROM stairs)
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
