-- Photos, faces, portraits and speech of each identity, best yield first
SELECT
    identity,
    name,
    split,
    photos,
    faces,
    portraits,
    round(portraits / greatest(photos, 1), 3) AS portraits_per_photo,
    kept_clips,
    round(speech_s, 1) AS speech_s
FROM identity_summary
ORDER BY portraits_per_photo DESC, portraits DESC, identity;
