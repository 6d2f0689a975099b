-- People who were left out for too few portraits, nearest to the minimum first
SELECT
    person,
    count(*) AS passing_faces,
    list(face_id ORDER BY quality DESC)[:3] AS best_faces
FROM faces
WHERE list_contains(reasons, 'too_few_portraits')
GROUP BY person
ORDER BY passing_faces DESC, person;
