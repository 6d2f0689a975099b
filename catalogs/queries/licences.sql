-- Photos, portraits and people under each licence, as the sources state it
WITH
counts AS (
    SELECT
        photo_licence,
        count(*) FILTER (WHERE face_number <= 1) AS photos,
        count(*) FILTER (WHERE portrait) AS portraits
    FROM faces GROUP BY photo_licence
),
-- apart, so that people are told from each other among the few portraits only
pictured AS (
    SELECT coalesce(photo_licence, 'unknown') AS stated, count(DISTINCT person) AS people
    FROM faces WHERE portrait GROUP BY stated
)
SELECT
    coalesce(photo_licence, 'unknown') AS licence,
    sum(photos)::BIGINT AS photos,
    sum(portraits)::BIGINT AS portraits,
    any_value(coalesce(people, 0)) AS people
FROM counts
LEFT JOIN pictured ON stated = coalesce(photo_licence, 'unknown')
GROUP BY licence
ORDER BY portraits DESC, photos DESC, licence;
