-- duckdb -readonly ROOT/catalog.duckdb < docs/examples/questions.sql

-- How many people, portraits and clips has each split?
FROM split_summary;

-- Why were faces rejected?
FROM funnel;

-- Whose portraits are turned the least?
SELECT person, count(*) AS portraits, round(avg(face_angle_deg), 1) AS mean_angle_deg
FROM portraits
GROUP BY person
ORDER BY mean_angle_deg;

-- What would a stricter limit leave?
SELECT count(*) FILTER (face_angle_deg <= 3) AS within_3_deg, count(*) AS now FROM portraits;
