-- How far the measurements of portraits and kept clips moved from one version to another, the furthest first
WITH
old AS (
    UNPIVOT (
        SELECT face_angle_deg, pupil_distance_px, smile, expression, eyes_open, light_evenness, sharpness, skin_level
        FROM before.faces WHERE portrait
    ) ON COLUMNS(*) INTO NAME measure VALUE value
    UNION ALL
    UNPIVOT (
        SELECT duration_s, speech_s, vad_ratio, snr_db, loudness_dbfs, pitch_median_hz, spectral_flatness
        FROM before.utterances WHERE verdict = 'keep'
    ) ON COLUMNS(*) INTO NAME measure VALUE value
),
new AS (
    UNPIVOT (
        SELECT face_angle_deg, pupil_distance_px, smile, expression, eyes_open, light_evenness, sharpness, skin_level
        FROM faces WHERE portrait
    ) ON COLUMNS(*) INTO NAME measure VALUE value
    UNION ALL
    UNPIVOT (
        SELECT duration_s, speech_s, vad_ratio, snr_db, loudness_dbfs, pitch_median_hz, spectral_flatness
        FROM utterances WHERE verdict = 'keep'
    ) ON COLUMNS(*) INTO NAME measure VALUE value
),
was AS (SELECT measure, count(*) AS n, quantile_cont(value, [0.1, 0.5, 0.9]) AS q FROM old GROUP BY measure),
is_ AS (SELECT measure, count(*) AS n, quantile_cont(value, [0.1, 0.5, 0.9]) AS q FROM new GROUP BY measure)
SELECT
    measure,
    coalesce(was.n, 0) AS n_before,
    coalesce(is_.n, 0) AS n_now,
    was.q[1] AS p10_before,
    is_.q[1] AS p10_now,
    was.q[2] AS median_before,
    is_.q[2] AS median_now,
    was.q[3] AS p90_before,
    is_.q[3] AS p90_now,
    round((is_.q[2] - was.q[2]) / nullif(was.q[3] - was.q[1], 0), 4) AS median_shift
FROM was FULL JOIN is_ USING (measure)
ORDER BY abs(median_shift) DESC NULLS LAST, measure;
