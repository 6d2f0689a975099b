-- Faces, portraits and people that other limits of a rule would leave, all else as it is, if every face can be rendered
WITH
recipes AS (SELECT recipe -> '$.faces' AS faces FROM snapshots WHERE current),
rules (place, rule, measure, sign, in_force, tried) AS (
    SELECT 1, 'face_angle', 'face_angle_deg', 1, (faces ->> '$.pose.max_angle_deg')::DOUBLE,
        [2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30]::DOUBLE[] FROM recipes
    UNION ALL
    SELECT 2, 'low_resolution', 'pupil_distance_px', -1, (faces ->> '$.resolution.min_pupil_distance_px')::DOUBLE,
        [12, 16, 20, 25, 30, 40, 50, 60, 80, 100] FROM recipes
    UNION ALL
    SELECT 3, 'uneven_light', 'light_evenness', -1, (faces ->> '$.lighting.min_evenness')::DOUBLE,
        [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8] FROM recipes
),
-- of each rule the limits from strict to lenient; a measurement passes where sign * measurement <= height
stairs AS (
    SELECT *, list_sort(list_transform(list_distinct(list_append(tried, in_force)), lambda x: sign * x)) AS heights
    FROM rules
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
ladders AS (
    SELECT
        any_value(heights) FILTER (WHERE place = 1) AS angles,
        any_value(heights) FILTER (WHERE place = 2) AS sizes,
        any_value(heights) FILTER (WHERE place = 3) AS lights
    FROM stairs
),
-- the few faces that fail none or one of these rules, gathered before they are looked at one by one
passing AS MATERIALIZED (
    SELECT
        rowid AS face,
        person,
        CASE WHEN cluster_photos > 1 THEN duplicate_cluster END AS cluster,
        CASE WHEN reason IN ('face_angle', 'low_resolution', 'uneven_light') THEN reason END AS failed,
        face_angle_deg,
        pupil_distance_px,
        light_evenness
    FROM faces
    WHERE (reasons IS NULL OR len(reasons) <= 1) AND (
        reason IS NULL
        OR reason IN ('duplicate', 'render_failed', 'too_few_portraits', 'over_cap')
        OR reason IN ('face_angle', 'low_resolution', 'uneven_light')
    )
),
-- for each rule the first limit that the face passes; null where it fails another rule
near AS (
    SELECT
        person,
        cluster,
        kept_by_hand.face IS NOT NULL AS by_hand,
        [
            CASE WHEN failed IS NULL OR failed = 'face_angle'
                THEN len(list_filter(angles, lambda x: x < face_angle_deg)) END,
            CASE WHEN failed IS NULL OR failed = 'low_resolution'
                THEN len(list_filter(sizes, lambda x: x < -pupil_distance_px)) END,
            CASE WHEN failed IS NULL OR failed = 'uneven_light'
                THEN len(list_filter(lights, lambda x: x < -light_evenness)) END
        ] AS steps
    FROM passing CROSS JOIN ladders LEFT JOIN kept_by_hand USING (face)
),
placed AS MATERIALIZED (
    SELECT
        person,
        cluster,
        by_hand,
        unnest([1, 2, 3]) AS place,
        CASE WHEN by_hand THEN 0 ELSE unnest(steps) END AS step
    FROM near
),
-- of near duplicates the best one counts, beside those that people chose
clusters AS (
    SELECT place, person, min(step) AS step, greatest(1, count(*) FILTER (WHERE by_hand)) AS n
    FROM placed WHERE cluster IS NOT NULL AND step IS NOT NULL GROUP BY place, person, cluster
),
gained AS (
    SELECT place, person, step, count(*) AS n
    FROM placed WHERE cluster IS NULL AND step IS NOT NULL GROUP BY place, person, step
    UNION ALL
    FROM clusters
),
limits AS (SELECT *, unnest(heights) AS height, generate_subscripts(heights, 1) - 1 AS step FROM stairs),
people AS (
    SELECT limits.place, limits.step, person, sum(n) AS n
    FROM limits JOIN gained ON gained.place = limits.place AND gained.step <= limits.step
    GROUP BY limits.place, limits.step, person
),
chosen AS (
    SELECT
        (faces ->> '$.select.max_per_identity')::INTEGER AS most,
        (faces ->> '$.select.min_per_identity')::INTEGER AS fewest
    FROM recipes
)
SELECT
    rule,
    measure,
    CASE sign WHEN 1 THEN 'at most' ELSE 'at least' END AS must_be,
    sign * height AS limit_,
    sign * height = in_force AS in_force,
    coalesce(sum(n), 0)::BIGINT AS faces,
    coalesce(sum(least(n, most)) FILTER (WHERE n >= fewest), 0)::BIGINT AS portraits,
    count(*) FILTER (WHERE n >= fewest) AS people
FROM limits CROSS JOIN chosen LEFT JOIN people USING (place, step)
GROUP BY rule, measure, sign, height, in_force
ORDER BY rule, height;
