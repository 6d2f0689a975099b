-- Clips, hours and people that other limits of a rule would leave, where that differs from now, before the cap on clips
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
-- of each rule the limits from strict to lenient; null where it is not answered
stairs AS (
    SELECT
        *,
        CASE WHEN asked IS NOT NULL OR NOT EXISTS (FROM rules WHERE asked IS NOT NULL) THEN list_sort(list_transform(
            list_distinct(CASE WHEN in_force IS NULL THEN tried ELSE list_append(tried, in_force) END), lambda x: sign * x
        )) END AS heights
    FROM rules
),
-- all of them in a single row, so that a clip is held against every limit while it is read
ladders AS (
    SELECT
        {{ladders}}
    FROM stairs
),
-- people who have portraits, or would, had they speech
pictured AS (SELECT DISTINCT person FROM outcomes WHERE kind = 'faces' AND outcome IN ('kept', 'without_speech')),
-- clips of theirs in which no speech was heard: nobody has two with the same sound, or one that is someone else's, too
unheard AS (
    SELECT min_by(rowid, utterance_id) AS clip
    FROM utterances SEMI JOIN pictured USING (person)
    -- as a truth value DuckDB asks it while it reads, and fetches the texts of these clips only
    WHERE (reason IN ({{unheard}})) IS TRUE AND len(reasons) <= 1
    GROUP BY pcm_sha256, reason
    HAVING min(person) = max(person)
),
-- clips of theirs that fail none or one of these rules
near AS MATERIALIZED (
    SELECT
        person,
        speech_s AS seconds,
        CASE WHEN reason IN ({{reasons}}) THEN reason END AS failed,
        {{measures}}
    FROM utterances SEMI JOIN pictured USING (person)
    WHERE (reason IS NULL OR reason IN ('over_cap', {{reasons}}))
        AND (reasons IS NULL OR len(reasons) <= 1)
        AND (reason IS NULL OR reason NOT IN ({{unheard}}) OR utterances.rowid IN (FROM unheard))
),
-- per rule 100 * place + the first step that a clip passes; null where it fails another, or this one by another measurement
placed AS (
    SELECT person, seconds, unnest([
        {{codes}}
    ]) AS code
    FROM near CROSS JOIN ladders
),
gained AS (
    SELECT person, code // 100 AS place, code % 100 AS step, count(*) AS clips, sum(seconds) AS seconds
    FROM placed WHERE code IS NOT NULL GROUP BY person, code
),
counted AS (
    SELECT place, step, sum(clips) AS clips, sum(seconds) AS seconds, count(*) FILTER (WHERE step = best) AS people
    FROM (SELECT *, min(step) OVER (PARTITION BY place, person) AS best FROM gained)
    GROUP BY place, step
),
seen AS (SELECT count(*) AS clips, [{{seen}}] AS measures FROM near),
limits AS (
    SELECT stairs.*, unnest(heights) AS height, generate_subscripts(heights, 1) - 1 AS step FROM stairs CROSS JOIN seen
    -- what no clip has been measured for has no curve
    WHERE seen.clips = 0 OR list_contains(seen.measures, measure)
),
answered AS (
    SELECT
        rule,
        measure,
        CASE sign WHEN 1 THEN 'at most' ELSE 'at least' END AS must_be,
        sign * height AS threshold,
        sign * height IS NOT DISTINCT FROM in_force AS in_force,
        coalesce(sum(counted.clips), 0)::BIGINT AS clips,
        round(coalesce(sum(counted.seconds), 0) / 3600, 4) AS hours,
        coalesce(sum(counted.people), 0)::BIGINT AS people,
        asked,
        height
    FROM limits LEFT JOIN counted ON counted.place = limits.place AND counted.step <= limits.step
    GROUP BY rule, measure, sign, height, in_force, asked
)
SELECT answered.* EXCLUDE (asked, height)
FROM answered
-- limits that leave what there is now are said only where they are asked for; a rule that is off leaves what all others leave
QUALIFY in_force OR asked IS NOT NULL
    OR (clips, people) IS DISTINCT FROM coalesce(
        any_value((clips, people)) FILTER (WHERE in_force) OVER (PARTITION BY rule, measure),
        max((clips, people)) FILTER (WHERE in_force) OVER ()
    )
ORDER BY rule, measure, height;
