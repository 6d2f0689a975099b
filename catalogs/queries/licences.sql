-- Photos, portraits and people under each licence, as the sources state it
SELECT
    coalesce(photo_licence, 'unknown') AS licence,
    count(*) FILTER (WHERE face_number <= 1) AS photos,
    count(*) FILTER (WHERE portrait) AS portraits,
    count(DISTINCT person) FILTER (WHERE portrait) AS people
FROM faces
GROUP BY licence
ORDER BY portraits DESC, photos DESC, licence;
