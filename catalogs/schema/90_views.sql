-- Views: the questions that everyone asks. `photos` and `links` are declared in voxdata/tables/faces.py.

CREATE VIEW funnel AS
SELECT
    kind,
    outcome,
    sum(items)::BIGINT AS items,
    count(DISTINCT person) AS people,
    round(sum(items) / sum(sum(items)) OVER (PARTITION BY kind), 4) AS share
FROM outcomes
GROUP BY kind, outcome
ORDER BY kind, outcome = 'kept', items DESC, outcome;
COMMENT ON VIEW funnel IS 'Faces and clips per outcome: kept, or the first rule that rejected them';

CREATE VIEW identity_summary AS
WITH
face_counts AS (
    SELECT
        identity,
        count(*) FILTER (WHERE face_number <= 1) AS photos,
        count(face_index) AS faces,
        count(*) FILTER (WHERE portrait) AS portraits,
        min(face_angle_deg) AS least_face_angle_deg,
        max(pupil_distance_px) AS most_pupil_distance_px
    FROM faces GROUP BY identity
),
clip_counts AS (
    SELECT
        identity,
        count(*) AS clips,
        count(*) FILTER (WHERE verdict = 'keep') AS kept_clips,
        coalesce(sum(speech_s) FILTER (WHERE verdict = 'keep'), 0) AS speech_s
    FROM utterances GROUP BY identity
)
SELECT
    identities.identity,
    identities.person,
    identities.name,
    identities.sex,
    identities.nationality,
    identities.split,
    coalesce(photos, 0) AS photos,
    coalesce(faces, 0) AS faces,
    coalesce(portraits, 0) AS portraits,
    least_face_angle_deg,
    most_pupil_distance_px,
    coalesce(clips, 0) AS clips,
    coalesce(kept_clips, 0) AS kept_clips,
    coalesce(speech_s, 0) AS speech_s
FROM identities
LEFT JOIN face_counts USING (identity)
LEFT JOIN clip_counts USING (identity)
ORDER BY identities.identity;
COMMENT ON VIEW identity_summary IS 'What the build has of each identity';

CREATE VIEW portraits AS
SELECT
    samples.key,
    samples.split,
    samples.identity,
    samples.person,
    identities.name,
    identities.sex,
    identities.nationality,
    samples.tar,
    faces.* EXCLUDE (
        item_id, face_number, identity, person, bucket, face_id, face_folder, duplicate_cluster, verdict, reason, reasons
    )
FROM samples
JOIN faces ON samples.kind = 'faces' AND faces.face_id = samples.key AND faces.portrait
LEFT JOIN identities ON identities.identity = samples.identity;
COMMENT ON VIEW portraits IS 'The portraits of the snapshot with their measurements';

CREATE VIEW speech AS
SELECT
    samples.key,
    samples.split,
    samples.identity,
    samples.person,
    identities.name,
    identities.sex,
    identities.nationality,
    samples.tar,
    utterances.* EXCLUDE (
        item_id, identity, person, bucket, utterance_id, utterance_name, verdict, reason, reasons
    )
FROM samples
JOIN utterances
    ON samples.kind = 'speech' AND utterances.utterance_id = samples.key AND utterances.verdict = 'keep'
LEFT JOIN identities ON identities.identity = samples.identity;
COMMENT ON VIEW speech IS 'The utterances of the snapshot with their measurements';

CREATE VIEW clip_front_ends AS
SELECT
    item_id,
    utterance_id,
    heard.key AS front_end,
    heard.value.frames AS frames,
    coalesce(heard.value.vad, vad) AS vad,
    CASE WHEN heard.value.vad IS NULL THEN vad_ratio ELSE heard.value.vad_ratio END AS vad_ratio
FROM (SELECT item_id, utterance_id, vad, vad_ratio, unnest(map_entries(front_ends)) AS heard FROM utterances);
COMMENT ON VIEW clip_front_ends IS 'A row per clip and front end: frames of its log-mel, and the voice activity setting that it heard';

CREATE VIEW split_summary AS
WITH rows_of AS (
    SELECT
        coalesce(split, 'total') AS split,
        count(DISTINCT person) AS identities,
        count(*) FILTER (WHERE kind = 'faces') AS images,
        count(*) FILTER (WHERE kind = 'speech') AS utterances
    FROM samples GROUP BY GROUPING SETS ((split), ())
),
sizes AS (
    SELECT coalesce(split, 'total') AS split, avg(size_px) AS average_resolution_px
    FROM portraits GROUP BY GROUPING SETS ((split), ())
),
named (split, position) AS (VALUES ('total', 0), ('train', 1), ('val', 2), ('test', 3))
SELECT
    named.split,
    coalesce(identities, 0) AS identities,
    coalesce(images, 0) AS images,
    coalesce(utterances, 0) AS utterances,
    round(average_resolution_px, 2) AS average_resolution_px
FROM named LEFT JOIN rows_of USING (split) LEFT JOIN sizes USING (split)
ORDER BY position;
COMMENT ON VIEW split_summary IS 'Table 1 of the SF2F paper: people, portraits, utterances and portrait size per split';

CREATE VIEW champions AS
SELECT
    models.model,
    models.run_id,
    models.checkpoint,
    models.checkpoint_sha256,
    models.staged_at,
    runs.snapshot_id,
    evaluations.split,
    evaluations.embedder,
    evaluations.metric,
    evaluations.value
FROM models
JOIN runs USING (run_id)
LEFT JOIN evaluations
    ON evaluations.run_id = models.run_id
    AND evaluations.checkpoint_sha256 IS NOT DISTINCT FROM models.checkpoint_sha256
WHERE models.stage = 'champion'
QUALIFY models.staged_at = max(models.staged_at) OVER (PARTITION BY models.model)
ORDER BY models.model, evaluations.metric;
COMMENT ON VIEW champions IS 'The promoted weights of each model, with their evaluations';

CREATE VIEW provenance AS
SELECT
    samples.kind,
    samples.key,
    samples.split,
    samples.identity,
    samples.tar,
    faces.photo_sha256 AS content_sha256,
    faces.photo_source AS source,
    faces.photo_source_key AS source_key,
    sources.address || faces.photo_source_key AS location,
    faces.photo_licence AS licence,
    faces.photo_licence_url AS licence_url,
    faces.photo_author AS author,
    faces.photo_attribution AS attribution,
    faces.photo_page_url AS page_url
FROM samples
JOIN faces ON samples.kind = 'faces' AND faces.face_id = samples.key AND faces.portrait
LEFT JOIN sources ON sources.source = faces.photo_source AND sources.medium = 'photos'
UNION ALL
SELECT
    samples.kind,
    samples.key,
    samples.split,
    samples.identity,
    samples.tar,
    utterances.audio_sha256,
    utterances.source,
    utterances.source_key,
    sources.address || utterances.source_key,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL
FROM samples
JOIN utterances
    ON samples.kind = 'speech' AND utterances.utterance_id = samples.key AND utterances.verdict = 'keep'
LEFT JOIN sources ON sources.source = utterances.source AND sources.medium = 'speech';
COMMENT ON VIEW provenance IS 'From each sample back to the file that it was made from; location is its path or URL, null where the recipe is gone';

CREATE VIEW review_words AS
WITH numbered AS (
    SELECT
        *,
        coalesce(try_cast(regexp_extract(fact, '^([0-9]+)-', 1) AS BIGINT), 0) AS number,
        list_position(['keep', 'withdrawn', 'reject'], decision) AS rank
    FROM reviews
),
words AS (
    -- As the journal orders them: written with +00:00, times of any digits are in order as texts.
    SELECT
        * EXCLUDE (number, rank),
        row(number, CASE WHEN number > 0 THEN rank ELSE 0 END, replace(stated_at, 'Z', '+00:00'), rank, fact) AS place
    FROM numbered
)
SELECT
    photo_sha256,
    pupils_x,
    pupils_y,
    reviewer,
    decision,
    reason,
    identity,
    (SELECT min(person) FROM identities WHERE words.identity IN (identities.identity, identities.person)) AS person,
    stated_at
FROM words
WHERE decision <> 'withdrawn' AND NOT EXISTS (
    SELECT 1 FROM words AS later
    WHERE later.photo_sha256 = words.photo_sha256
        AND later.reviewer IS NOT DISTINCT FROM words.reviewer
        AND abs(later.pupils_x - words.pupils_x) <= 0.02
        AND abs(later.pupils_y - words.pupils_y) <= 0.02
        AND later.place > words.place
)
ORDER BY photo_sha256, pupils_x, pupils_y, reviewer;
COMMENT ON VIEW review_words IS 'The last word of each reviewer on each face: keep or reject; withdrawn ones are gone; person is who identity is';
