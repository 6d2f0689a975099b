-- People, photos and their near duplicates in more than one split; none but under splits.rule=released, whose own they are
WITH placed AS (
    SELECT samples.person, samples.split, coalesce(faces.photo_cluster, faces.photo_sha256) AS photo
    FROM samples LEFT JOIN faces ON samples.kind = 'faces' AND faces.portrait AND faces.face_id = samples.key
)
SELECT 'person' AS what, person AS name, list(DISTINCT split ORDER BY split) AS splits, 1 AS people
FROM placed GROUP BY person HAVING count(DISTINCT split) > 1
UNION ALL
SELECT 'photo', photo, list(DISTINCT split ORDER BY split), count(DISTINCT person)
FROM placed WHERE photo IS NOT NULL GROUP BY photo HAVING count(DISTINCT split) > 1
ORDER BY what, name;
