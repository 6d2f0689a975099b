-- Faces, portraits and people that other limits of a rule would leave, where that differs from now, if all can be rendered
WITH
recipes AS (SELECT recipe FROM about),
-- the table of rules; a limit applies where the setting `only_with` has one of `only_values`, '' being none. One that is
-- off and switches others off where it is set is not tried: not all else would be as it is. `asked` is a limit that
-- what_if_faces(angle := 8) is given, and then only such rules are answered
stated (place, rule, measure, sign, setting, only_with, only_values, tried, asked) AS (VALUES
    {{limits}}
),
rules AS (
    SELECT
        * REPLACE (CASE WHEN asked IS NULL THEN tried ELSE [asked] END AS tried),
        (recipe ->> ('$.' || setting))::DOUBLE AS in_force
    FROM stated CROSS JOIN recipes
    WHERE
        (only_with IS NULL OR list_contains(only_values, coalesce(recipe ->> ('$.' || only_with), '')))
        AND (
            recipe ->> ('$.' || setting) IS NOT NULL
            OR setting NOT IN (SELECT only_with FROM stated WHERE only_with IS NOT NULL)
        )
),
-- of each rule the limits from strict to lenient; a measurement passes where sign * measurement <= height
stairs AS (
    SELECT
        *,
        list_sort(list_transform(
            list_distinct(CASE WHEN in_force IS NULL THEN tried ELSE list_append(tried, in_force) END), lambda x: sign * x
        )) AS heights
    FROM rules
    WHERE asked IS NOT NULL OR NOT EXISTS (FROM rules WHERE asked IS NOT NULL)
),
-- all of them in a single row, so that a face is held against every limit while it is read
ladders AS (
    SELECT
        {{ladders}}
    FROM stairs
),
kept_by_hand AS (
    SELECT DISTINCT faces.rowid AS face
    FROM review_words AS words
    JOIN faces
        ON faces.photo_sha256 = words.photo_sha256
        AND abs((pupil_left_x_px + pupil_right_x_px) / 2 / photo_width_px - words.pupils_x) <= 0.02
        AND abs((pupil_left_y_px + pupil_right_y_px) / 2 / photo_height_px - words.pupils_y) <= 0.02
    WHERE words.decision = 'keep' AND (words.identity IS NULL OR words.person = faces.person)
),
-- the few faces that fail none or one of these rules; sorted, which gathers them before they are looked at
passing AS (
    SELECT
        person,
        CASE WHEN cluster_photos > 1 THEN duplicate_cluster END AS cluster,
        CASE WHEN reason IN (SELECT rule FROM rules) THEN reason END AS failed,
        rowid IN (FROM kept_by_hand) AS by_hand,
        {{measures}}
    FROM faces
    WHERE (reasons IS NULL OR len(reasons) <= 1) AND (
        reason IS NULL
        OR reason IN ('duplicate', 'render_failed', 'too_few_portraits', 'over_cap', 'without_speech')
        OR reason IN (SELECT rule FROM rules)
    )
    ORDER BY rowid
),
-- per rule 100 * place + the first step that the face passes, compared as measurements are stored; null where it fails another
placed AS (
    SELECT person, cluster, by_hand, unnest([
        {{codes}}
    ]) AS code
    FROM passing CROSS JOIN ladders
),
counted AS (
    SELECT
        person,
        cluster,
        code // 100 AS place,
        CASE WHEN by_hand THEN 0 ELSE code % 100 END AS step,
        count(*) AS n,
        count(*) FILTER (WHERE by_hand) AS chosen
    FROM placed WHERE code IS NOT NULL GROUP BY person, cluster, by_hand, code
),
gained AS (
    SELECT place, person, step, n FROM counted WHERE cluster IS NULL
    UNION ALL
    -- of near duplicates the best one counts, beside those that people chose
    SELECT place, person, min(step), greatest(1, sum(chosen)) FROM counted WHERE cluster IS NOT NULL
    GROUP BY place, person, cluster
),
limits AS (SELECT *, unnest(heights) AS height, generate_subscripts(heights, 1) - 1 AS step FROM stairs),
-- people whose speech was looked for, and none was kept; of others nobody knows, and they are taken to have some
silent AS (
    SELECT person FROM outcomes WHERE kind = 'faces' AND outcome = 'without_speech'
    UNION
    SELECT person FROM outcomes WHERE kind = 'speech'
    GROUP BY person HAVING NOT bool_or(outcome IN ('kept', 'without_portraits'))
    UNION
    SELECT person FROM identities CROSS JOIN recipes
    WHERE recipe ->> '$.speech.who' = 'all' AND EXISTS (FROM outcomes WHERE kind = 'speech')
        AND person NOT IN (SELECT person FROM outcomes WHERE kind = 'speech')
),
people AS (
    SELECT limits.place, limits.step, person, sum(n) AS n
    FROM limits JOIN gained ON gained.place = limits.place AND gained.step <= limits.step
    GROUP BY limits.place, limits.step, person
),
chosen AS (
    SELECT
        (recipe ->> '$.faces.select.max_per_identity')::INTEGER AS most,
        (recipe ->> '$.faces.select.min_per_identity')::INTEGER AS fewest
    FROM recipes
),
answered AS (
    SELECT
        rule,
        measure,
        CASE sign WHEN 1 THEN 'at most' ELSE 'at least' END AS must_be,
        sign * height AS threshold,
        sign * height IS NOT DISTINCT FROM in_force AS in_force,
        coalesce(sum(n), 0)::BIGINT AS faces,
        coalesce(sum(least(n, most)) FILTER (WHERE n >= fewest AND silent.person IS NULL), 0)::BIGINT AS portraits,
        count(*) FILTER (WHERE n >= fewest AND silent.person IS NULL) AS people,
        asked,
        height
    FROM limits CROSS JOIN chosen LEFT JOIN people USING (place, step) LEFT JOIN silent USING (person)
    GROUP BY rule, measure, sign, height, in_force, asked
)
SELECT answered.* EXCLUDE (asked, height)
FROM answered
-- limits that leave what there is now are said only where they are asked for; a rule that is off leaves what all others leave
QUALIFY in_force OR asked IS NOT NULL
    OR (faces, portraits, people) IS DISTINCT FROM coalesce(
        any_value((faces, portraits, people)) FILTER (WHERE in_force) OVER (PARTITION BY rule, measure),
        max((faces, portraits, people)) FILTER (WHERE in_force) OVER ()
    )
ORDER BY rule, measure, height;
