-- Faces that reviewers keep and that stay out: another one rejects it, or it is not settled whose portrait it is
SELECT
    faces.identity,
    faces.face_id,
    list(words.reviewer ORDER BY words.reviewer) FILTER (WHERE words.decision = 'keep') AS keep,
    list(words.reviewer ORDER BY words.reviewer) FILTER (WHERE words.decision = 'reject') AS reject,
    list(DISTINCT words.identity ORDER BY words.identity)
        FILTER (WHERE words.decision = 'keep' AND words.identity IS NOT NULL) AS kept_for,
    max(words.stated_at) AS last_word_at
FROM review_words AS words
JOIN faces
    ON faces.photo_sha256 = words.photo_sha256
    AND abs((pupil_left_x_px + pupil_right_x_px) / 2 / photo_width_px - words.pupils_x) <= 0.02
    AND abs((pupil_left_y_px + pupil_right_y_px) / 2 / photo_height_px - words.pupils_y) <= 0.02
GROUP BY faces.identity, faces.face_id
HAVING count(DISTINCT words.decision) > 1
    OR count(DISTINCT words.person) FILTER (WHERE words.decision = 'keep') > 1
    OR bool_or(
        faces.reason = 'shared_photo' AND words.decision = 'keep'
        AND (words.identity IS NULL OR words.person = faces.person)
    )
ORDER BY faces.identity, faces.face_id;
