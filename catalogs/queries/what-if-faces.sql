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
    SELECT 3, 'smiling', 'smile', 1, (faces ->> '$.expression.max_smile')::DOUBLE,
        [0.2, 0.4, 0.6, 0.8, 1, 1.2] FROM recipes
    UNION ALL
    SELECT 4, 'uneven_light', 'light_evenness', -1, (faces ->> '$.lighting.min_evenness')::DOUBLE,
        [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8] FROM recipes
    UNION ALL
    SELECT 5, 'blurred', 'sharpness', -1, (faces ->> '$.sharpness.min_sharpness')::DOUBLE,
        [0.02, 0.04, 0.06, 0.08, 0.1, 0.15] FROM recipes
),
-- of each rule the limits from strict to lenient; a measurement passes where sign * measurement <= height
stairs AS (
    SELECT *, list_sort(list_transform(list_distinct(list_append(tried, in_force)), lambda x: sign * x)) AS heights
    FROM rules
),
kept_by_hand AS (
    SELECT DISTINCT item_id, face_number
    FROM review_words AS words
    JOIN faces
        ON faces.photo_sha256 = words.photo_sha256
        AND abs((pupil_left_x_px + pupil_right_x_px) / 2 / photo_width_px - words.pupils_x) <= 0.02
        AND abs((pupil_left_y_px + pupil_right_y_px) / 2 / photo_height_px - words.pupils_y) <= 0.02
    WHERE words.decision = 'keep'
),
near AS MATERIALIZED (
    SELECT
        person,
        CASE WHEN cluster_photos > 1 THEN photo_cluster ELSE photo_sha256 END AS photo,
        CASE WHEN reason IN ('face_angle', 'low_resolution', 'smiling', 'uneven_light', 'blurred') THEN reason END
            AS failed,
        kept_by_hand.item_id IS NOT NULL AS by_hand,
        [face_angle_deg, -pupil_distance_px, smile, -light_evenness, -sharpness] AS measured
    FROM faces LEFT JOIN kept_by_hand USING (item_id, face_number)
    WHERE reason IS NULL
        OR reason IN ('duplicate', 'render_failed', 'too_few_portraits', 'over_cap')
        OR reason IN ('face_angle', 'low_resolution', 'smiling', 'uneven_light', 'blurred') AND len(reasons) = 1
),
pictures AS (
    SELECT
        rule,
        person,
        min(CASE WHEN by_hand THEN 0 ELSE len(list_filter(heights, lambda x: x < measured[place])) END) AS step,
        greatest(1, count(*) FILTER (WHERE by_hand)) AS n
    FROM near JOIN stairs ON failed IS NULL OR failed = rule
    GROUP BY rule, person, photo
),
gained AS (SELECT rule, person, step, sum(n) AS n FROM pictures GROUP BY rule, person, step),
limits AS (SELECT *, unnest(heights) AS height, generate_subscripts(heights, 1) - 1 AS step FROM stairs),
people AS (
    SELECT limits.rule, limits.step, person, sum(n) AS n
    FROM limits JOIN gained ON gained.rule = limits.rule AND gained.step <= limits.step
    GROUP BY limits.rule, limits.step, person
),
select_ AS (
    SELECT
        (faces ->> '$.select.max_per_identity')::INTEGER AS cap,
        (faces ->> '$.select.min_per_identity')::INTEGER AS least_
    FROM recipes
)
SELECT
    rule,
    measure,
    CASE sign WHEN 1 THEN 'at most' ELSE 'at least' END AS must_be,
    sign * height AS limit_,
    sign * height = in_force AS in_force,
    coalesce(sum(n), 0)::BIGINT AS faces,
    coalesce(sum(least(n, cap)) FILTER (WHERE n >= least_), 0)::BIGINT AS portraits,
    count(*) FILTER (WHERE n >= least_) AS people
FROM limits CROSS JOIN select_ LEFT JOIN people USING (rule, step)
GROUP BY rule, measure, sign, height, in_force
ORDER BY rule, height;
