-- From the first thousand samples back to the file or URL that each was made from; the view provenance has all
WITH chosen AS MATERIALIZED (SELECT * FROM samples ORDER BY kind, key LIMIT 1000)
SELECT
    chosen.kind,
    chosen.key,
    chosen.split,
    chosen.identity,
    chosen.tar,
    faces.photo_sha256 AS content_sha256,
    faces.photo_source AS source,
    faces.photo_source_key AS source_key,
    sources.address || faces.photo_source_key AS location,
    faces.photo_licence AS licence,
    faces.photo_author AS author,
    faces.photo_page_url AS page_url
FROM chosen
JOIN faces ON chosen.kind = 'faces' AND faces.face_id = chosen.key AND faces.portrait
LEFT JOIN sources ON sources.source = faces.photo_source AND sources.medium = 'photos'
UNION ALL
SELECT
    chosen.kind,
    chosen.key,
    chosen.split,
    chosen.identity,
    chosen.tar,
    clips.audio_sha256,
    clips.source,
    clips.source_key,
    sources.address || clips.source_key,
    NULL,
    NULL,
    NULL
FROM chosen
JOIN utterances AS clips ON chosen.kind = 'speech' AND clips.utterance_id = chosen.key AND clips.verdict = 'keep'
LEFT JOIN sources ON sources.source = clips.source AND sources.medium = 'speech'
ORDER BY kind, key;
