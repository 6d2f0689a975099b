-- Faces per 5 degrees of face angle, and how many of them became portraits
SELECT
    (floor(face_angle_deg / 5) * 5)::INTEGER AS from_deg,
    from_deg + 5 AS to_deg,
    count(*) AS faces,
    count(*) FILTER (WHERE portrait) AS portraits
FROM faces
WHERE face_angle_deg IS NOT NULL
GROUP BY from_deg
ORDER BY from_deg;
