-- How often each rule rejects faces of each sex, nationality and skin tone of the pixels, with 95 % intervals over people
WITH
-- of pixels, not of people: the middle one of a person's photos, so that one photo's light makes no group
-- the largest face counts, where it may be the person's and the photo has colours
tones AS (
    SELECT person, median(skin_tone_deg) AS tone_deg
    FROM faces
    WHERE face_number = 1
        AND skin_tone_deg IS NOT NULL
        AND NOT coalesce(grayscale, false)
        AND NOT list_contains(coalesce(reasons, []), 'other_person')
    GROUP BY person
),
-- the bounds of Chardon et al. 1991, brown parted from dark at -30
typology (tone, darkest_deg, place) AS (VALUES
    ('very light', 55, 1),
    ('light', 41, 2),
    ('intermediate', 28, 3),
    ('tan', 10, 4),
    ('brown', -30, 5),
    ('dark', -91, 6)
),
seen AS (
    SELECT DISTINCT
        rejections.identity,
        rejections.person,
        sex,
        nationality,
        tone_deg,
        -- what a simulation has painted
        skin_tone_stated_deg AS stated_deg
    FROM rejections
    LEFT JOIN identities ON identities.identity = rejections.identity
    LEFT JOIN tones ON tones.person = rejections.person
    WHERE rule = 'all'
),
members AS (
    SELECT identity, person, 'sex' AS trait, coalesce(sex, 'unknown') AS group_, 0 AS place FROM seen
    UNION ALL
    SELECT identity, person, 'nationality', coalesce(nationality, 'unknown'), 0 FROM seen
    UNION ALL
    SELECT identity, person, 'skin tone, measured', coalesce(tone, 'unknown'), coalesce(place, 7)
    FROM seen ASOF LEFT JOIN typology ON seen.tone_deg > typology.darkest_deg
    UNION ALL
    SELECT identity, person, 'skin tone, stated', coalesce(tone, 'unknown'), coalesce(place, 7)
    FROM seen ASOF LEFT JOIN typology ON seen.stated_deg > typology.darkest_deg
    WHERE EXISTS (FROM seen WHERE stated_deg IS NOT NULL)
),
-- which faces a rule looks at: photos, faces that were found, or faces that were measured
rules AS (
    SELECT DISTINCT
        rule,
        CASE WHEN rule IN ('any', {{of_photos}}) THEN 0 WHEN rule IN ({{of_boxes}}) THEN 1 ELSE 2 END AS needs
    FROM rejections WHERE rule <> 'all'
),
counts AS (
    SELECT
        identity,
        [
            sum(items),
            coalesce(sum(items) FILTER (WHERE reached >= 1), 0),
            coalesce(sum(items) FILTER (WHERE reached >= 2), 0)
        ] AS faces
    FROM rejections WHERE rule = 'all' GROUP BY identity
),
rejected AS (
    SELECT identity, rule, sum(items) AS rejected
    FROM rejections JOIN rules USING (rule) WHERE reached >= needs GROUP BY identity, rule
),
people AS (
    SELECT
        trait, group_, place, rule, person,
        sum(faces[needs + 1])::DOUBLE AS n,
        sum(coalesce(rejected, 0))::DOUBLE AS x
    FROM members CROSS JOIN rules
    JOIN counts USING (identity) LEFT JOIN rejected USING (identity, rule)
    GROUP BY ALL HAVING n > 0
),
shares AS (
    SELECT
        trait, group_, place, rule, count(*) AS people, sum(n) AS faces, sum(x) AS rejected, sum(x) / sum(n) AS share,
        -- variance of the ratio over people, whose photos are not independent
        count(*) / (count(*) - 1) * (sum(x * x) - 2 * sum(x) / sum(n) * sum(x * n) + (sum(x) / sum(n)) ^ 2 * sum(n * n))
            / sum(n) ^ 2 AS variance
    FROM people GROUP BY trait, group_, place, rule
),
-- as many independent faces as have that variance; where nobody or everybody is rejected, a person counts as one
weighed AS (
    SELECT
        *,
        CASE
            WHEN people = 1 OR rejected IN (0, faces) THEN people
            ELSE greatest(1, least(faces, share * (1 - share) / greatest(variance, 1e-12)))
        END AS n
    FROM shares
),
-- Wilson's interval
bounds AS (
    SELECT
        *,
        (share + 1.92073 / n) / (1 + 3.84146 / n) AS middle,
        1.959964 * sqrt(share * (1 - share) / n + 0.960365 / n ^ 2) / (1 + 3.84146 / n) AS half
    FROM weighed
)
SELECT
    trait,
    rule,
    group_,
    people,
    faces::BIGINT AS faces,
    rejected::BIGINT AS rejected,
    round(share, 4) AS share,
    round(greatest(0, middle - half), 4) AS low,
    round(least(1, middle + half), 4) AS high,
    round(
        share / nullif(min(share) FILTER (WHERE group_ <> 'unknown') OVER (PARTITION BY trait, rule), 0), 2
    ) AS times_the_least
FROM bounds
ORDER BY
    trait = 'nationality',
    trait,
    rule <> 'any',
    sum(rejected) OVER (PARTITION BY trait, rule) DESC,
    rule,
    group_ = 'unknown',
    place,
    people DESC,
    group_;
