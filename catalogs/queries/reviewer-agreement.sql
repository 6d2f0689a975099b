-- How far each pair of reviewers agrees on the faces that both judged, as Cohen's kappa
WITH pairs AS (
    SELECT
        a.reviewer AS reviewer_a,
        b.reviewer AS reviewer_b,
        a.decision = 'keep' AS a_keeps,
        b.decision = 'keep' AS b_keeps
    FROM review_words AS a
    JOIN review_words AS b
        ON a.photo_sha256 = b.photo_sha256
        AND a.reviewer < b.reviewer
        AND abs(a.pupils_x - b.pupils_x) <= 0.02
        AND abs(a.pupils_y - b.pupils_y) <= 0.02
),
counts AS (
    SELECT
        reviewer_a,
        reviewer_b,
        count(*) AS faces,
        count(*) FILTER (WHERE a_keeps AND b_keeps) AS both_keep,
        count(*) FILTER (WHERE NOT a_keeps AND NOT b_keeps) AS both_reject,
        count(*) FILTER (WHERE a_keeps AND NOT b_keeps) AS only_a_keeps,
        count(*) FILTER (WHERE b_keeps AND NOT a_keeps) AS only_b_keeps,
        (both_keep + both_reject) / faces AS agreement,
        avg(a_keeps::INTEGER) * avg(b_keeps::INTEGER) + (1 - avg(a_keeps::INTEGER)) * (1 - avg(b_keeps::INTEGER))
            AS chance
    FROM pairs GROUP BY reviewer_a, reviewer_b
)
SELECT
    * EXCLUDE (agreement, chance),
    round(agreement, 4) AS agreement,
    round(chance, 4) AS chance,
    CASE WHEN chance < 1 THEN round((agreement - chance) / (1 - chance), 4) END AS kappa
FROM counts
ORDER BY reviewer_a, reviewer_b;
