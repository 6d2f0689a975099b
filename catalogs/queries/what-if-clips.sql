-- Clips, hours and people that other limits of a rule would leave, all else as it is, before the cap on clips per person
WITH
recipes AS (SELECT recipe FROM about),
-- the table of rules; a measurement passes a limit where sign * measurement <= sign * limit; `asked`
-- is a limit that what_if_clips(speech := 3) is given, and then only such rules are answered
stated (place, rule, measure, sign, setting, only_with, only_values, tried, asked) AS (VALUES
    {{limits}}
),
rules AS (
    SELECT
        * REPLACE (CASE WHEN asked IS NULL THEN tried ELSE [asked] END AS tried),
        (recipe ->> ('$.' || setting))::DOUBLE AS in_force
    FROM stated CROSS JOIN recipes
),
stairs AS (
    SELECT
        *,
        list_sort(list_transform(
            list_distinct(CASE WHEN in_force IS NULL THEN tried ELSE list_append(tried, in_force) END), lambda x: sign * x
        )) AS heights
    FROM rules
    WHERE asked IS NOT NULL OR NOT EXISTS (FROM rules WHERE asked IS NOT NULL)
),
-- people who have portraits, or would, had they speech
pictured AS (SELECT DISTINCT person FROM outcomes WHERE kind = 'faces' AND outcome IN ('kept', 'without_speech')),
-- clips of theirs that fail none or one of these rules; of those in which no speech was heard, what would be a copy is left out
near AS MATERIALIZED (
    SELECT
        rowid AS clip,
        person,
        speech_s AS seconds,
        CASE WHEN reason IN (SELECT rule FROM rules) THEN reason END AS failed,
        {{measures}}
    FROM utterances SEMI JOIN pictured USING (person)
    WHERE (reason IS NULL OR reason = 'over_cap' OR reason IN (SELECT rule FROM rules))
        AND (reasons IS NULL OR len(reasons) <= 1)
    QUALIFY reason IS NULL
        OR reason NOT IN ({{unheard}})
        OR (
            row_number() OVER (PARTITION BY pcm_sha256, reason, person ORDER BY utterance_id) = 1
            AND min(person) OVER (PARTITION BY pcm_sha256, reason) = max(person) OVER (PARTITION BY pcm_sha256, reason)
        )
),
measured AS (
    SELECT * REPLACE (measure[4:] AS measure)
    FROM near UNPIVOT INCLUDE NULLS (value FOR measure IN ({{names}}))
),
judged AS (
    SELECT
        *,
        coalesce((sign * value)::FLOAT > (sign * in_force)::FLOAT, false) AS beyond,
        coalesce(steps_below((sign * value)::FLOAT, heights::FLOAT[]), 0) AS step
    FROM measured JOIN stairs USING (measure)
    WHERE failed IS NULL OR failed = rule
),
-- for each limit the first step that a clip passes; none where it fails another rule, or this one by another measurement
placed AS MATERIALIZED (
    SELECT place, person, seconds, step FROM judged WHERE failed IS NULL
    UNION ALL
    SELECT place, person, seconds, step FROM judged WHERE failed IS NOT NULL
    QUALIFY count(*) FILTER (WHERE beyond) OVER (PARTITION BY clip) = beyond::INTEGER
),
gained AS (
    SELECT place, step, count(*) AS clips, sum(seconds) AS seconds FROM placed GROUP BY place, step
),
best AS (SELECT place, person, min(step) AS step FROM placed GROUP BY place, person),
limits AS (
    SELECT *, unnest(heights) AS height, generate_subscripts(heights, 1) - 1 AS step FROM stairs
    -- what no clip has been measured for has no curve
    WHERE measure IN (SELECT measure FROM measured WHERE value IS NOT NULL) OR NOT EXISTS (FROM near)
)
SELECT
    rule,
    measure,
    CASE sign WHEN 1 THEN 'at most' ELSE 'at least' END AS must_be,
    sign * height AS limit_,
    sign * height IS NOT DISTINCT FROM in_force AS in_force,
    coalesce(sum(gained.clips), 0)::BIGINT AS clips,
    round(coalesce(sum(gained.seconds), 0) / 3600, 4) AS hours,
    (SELECT count(*) FROM best WHERE best.place = limits.place AND best.step <= limits.step) AS people
FROM limits LEFT JOIN gained ON gained.place = limits.place AND gained.step <= limits.step
GROUP BY rule, measure, sign, height, in_force, limits.place, limits.step
ORDER BY rule, measure, height;
