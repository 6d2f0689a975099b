-- The faces in photos, and what was decided about each. Embeddings and perceptual hashes, of which links are made, stay
-- in the Parquet files.
--
-- The large tables keep nothing twice: ids are computed from their parts, and `photos` and `links` are views. They
-- declare no primary key, as an index over millions of texts costs too much; the load counts that their keys are unique
-- (`voxdata/catalog/keys.py`).

CREATE TABLE faces (
    item_id VARCHAR GENERATED ALWAYS AS (identity || '/' || photo_sha256) VIRTUAL,
    face_number INTEGER NOT NULL CHECK (face_number >= 0),
    identity VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    bucket INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 4095),
    photo_sha256 VARCHAR NOT NULL,
    photo_size_bytes BIGINT CHECK (photo_size_bytes >= 0),
    photo_source VARCHAR,
    photo_source_key VARCHAR,
    photo_licence VARCHAR,
    face_id VARCHAR GENERATED ALWAYS AS (
        coalesce(face_folder, identity) || '/' || photo_sha256[:16] || '_' || face_index
    ) VIRTUAL,
    face_folder VARCHAR,
    face_index INTEGER GENERATED ALWAYS AS (nullif(face_number, 0) - 1) VIRTUAL,
    face_count INTEGER,
    verdict VARCHAR NOT NULL CHECK (verdict IN ('keep', 'reject')),
    reason VARCHAR,
    reasons VARCHAR[],
    quality REAL,
    rank INTEGER CHECK (rank >= 1),
    candidate BOOLEAN,
    portrait BOOLEAN,
    photo_status VARCHAR NOT NULL,
    measured_until VARCHAR,
    backend VARCHAR,
    backend_version VARCHAR,
    photo_width_px INTEGER,
    photo_height_px INTEGER,
    grayscale BOOLEAN,
    box_x_px REAL,
    box_y_px REAL,
    box_width_px REAL,
    box_height_px REAL,
    detection_score REAL,
    face_share REAL,
    pupil_left_x_px REAL,
    pupil_left_y_px REAL,
    pupil_right_x_px REAL,
    pupil_right_y_px REAL,
    pupil_distance_px REAL,
    yaw_deg REAL,
    pitch_deg REAL,
    roll_deg REAL,
    face_angle_deg REAL,
    asymmetry REAL,
    smile REAL,
    mouth_open REAL,
    eyes_open REAL,
    brow_raise REAL,
    expression REAL,
    emotion_model VARCHAR,
    emotion_angry REAL,
    emotion_disgust REAL,
    emotion_fear REAL,
    emotion_happy REAL,
    emotion_sad REAL,
    emotion_surprise REAL,
    emotion_neutral REAL,
    blend_smile REAL,
    blend_jaw_open REAL,
    blend_brow_up REAL,
    blend_eyes_closed REAL,
    glasses REAL,
    occlusion REAL,
    light_left_right REAL,
    light_top_bottom REAL,
    light_evenness REAL,
    skin_level REAL,
    highlight_share REAL,
    shadow_share REAL,
    sharpness REAL,
    embedding_model VARCHAR,
    photo_cluster VARCHAR GENERATED ALWAYS AS (
        CASE WHEN cluster_photos IS NOT NULL THEN coalesce(duplicate_cluster, photo_sha256) END
    ) VIRTUAL,
    duplicate_cluster VARCHAR,
    cluster_people INTEGER,
    cluster_photos INTEGER,
    centroid_similarity REAL,
    person_agreement REAL,
    rival_agreement REAL,
    render_status VARCHAR,
    size_px INTEGER CHECK (size_px > 0),
    scale REAL,
    outside_share REAL,
    person_share REAL,
    matting_backend VARCHAR,
    matting_version VARCHAR,
    format VARCHAR
);
COMMENT ON TABLE faces IS 'Every face that was looked at, kept or not; a photo without one keeps a single row';
COMMENT ON COLUMN faces.item_id IS 'Its photo: <identity>/<photo_sha256>';
COMMENT ON COLUMN faces.face_number IS 'face_index + 1; 0 for a photo without a face';
COMMENT ON COLUMN faces.identity IS 'VoxCeleb id or folder name';
COMMENT ON COLUMN faces.person IS 'Canonical person above the identity';
COMMENT ON COLUMN faces.bucket IS 'Hash bucket of the person';
COMMENT ON COLUMN faces.photo_sha256 IS 'sha256 of the photo''s original bytes';
COMMENT ON COLUMN faces.photo_size_bytes IS 'Size of the original';
COMMENT ON COLUMN faces.photo_source IS 'Kind of source of the photo';
COMMENT ON COLUMN faces.photo_source_key IS 'Where in the source: a path or a URL';
COMMENT ON COLUMN faces.photo_licence IS 'Licence of the photo, as the source says';
COMMENT ON COLUMN faces.face_folder IS 'Folder of its shard key, where that is not the identity';
COMMENT ON COLUMN faces.face_id IS 'Shard key of the portrait; null without a face';
COMMENT ON COLUMN faces.face_index IS 'Number of the face in its photo, largest first, from 0';
COMMENT ON COLUMN faces.face_count IS 'Faces above the size floor in the photo';
COMMENT ON COLUMN faces.verdict IS 'keep or reject';
COMMENT ON COLUMN faces.reason IS 'First rule that it failed; null when kept';
COMMENT ON COLUMN faces.reasons IS 'All rules that it failed';
COMMENT ON COLUMN faces.quality IS 'Score that ranks the faces of a person';
COMMENT ON COLUMN faces.rank IS '1 is the best of its person among faces that pass every rule';
COMMENT ON COLUMN faces.candidate IS 'Whether it was good enough to be rendered';
COMMENT ON COLUMN faces.portrait IS 'Whether it is a portrait of the dataset';
COMMENT ON COLUMN faces.photo_status IS 'ok, unreadable, too_large, too_small or no_face';
COMMENT ON COLUMN faces.measured_until IS 'Last measurement taken: decode, detect, landmarks or all';
COMMENT ON COLUMN faces.backend IS 'Detector and landmarks';
COMMENT ON COLUMN faces.backend_version IS 'Its version';
COMMENT ON COLUMN faces.photo_width_px IS 'Width of the photo';
COMMENT ON COLUMN faces.photo_height_px IS 'Height of the photo';
COMMENT ON COLUMN faces.grayscale IS 'Whether the photo has no colour, or one tint only as sepia has';
COMMENT ON COLUMN faces.box_x_px IS 'Left edge of the face box in the photo';
COMMENT ON COLUMN faces.box_y_px IS 'Top edge';
COMMENT ON COLUMN faces.box_width_px IS 'Width of the face box';
COMMENT ON COLUMN faces.box_height_px IS 'Height of the face box';
COMMENT ON COLUMN faces.detection_score IS 'Confidence of the detector';
COMMENT ON COLUMN faces.face_share IS 'Area of the face box, share of the photo''s';
COMMENT ON COLUMN faces.pupil_left_x_px IS 'Pupil on the left of the photo, x';
COMMENT ON COLUMN faces.pupil_left_y_px IS 'Pupil on the left of the photo, y';
COMMENT ON COLUMN faces.pupil_right_x_px IS 'Pupil on the right of the photo, x';
COMMENT ON COLUMN faces.pupil_right_y_px IS 'Pupil on the right of the photo, y';
COMMENT ON COLUMN faces.pupil_distance_px IS 'Between the pupils, in pixels of the photo';
COMMENT ON COLUMN faces.yaw_deg IS 'Turn to the side';
COMMENT ON COLUMN faces.pitch_deg IS 'Nod';
COMMENT ON COLUMN faces.roll_deg IS 'Tilt in the plane of the photo';
COMMENT ON COLUMN faces.face_angle_deg IS 'Between the plane of the face and of the photo: acos(cos yaw * cos pitch)';
COMMENT ON COLUMN faces.asymmetry IS 'Left/right landmark misalignment, share of the pupil distance';
COMMENT ON COLUMN faces.smile IS 'Smile by landmark geometry';
COMMENT ON COLUMN faces.mouth_open IS 'Inner lip gap, share of the mouth''s width';
COMMENT ON COLUMN faces.eyes_open IS 'Eye aspect ratio';
COMMENT ON COLUMN faces.brow_raise IS 'Raised brows by landmark geometry';
COMMENT ON COLUMN faces.expression IS 'Distance from neutral by landmark geometry; 0 is neutral';
COMMENT ON COLUMN faces.emotion_model IS 'Network of the seven emotion probabilities; null without one';
COMMENT ON COLUMN faces.emotion_angry IS 'Probability of angry';
COMMENT ON COLUMN faces.emotion_disgust IS 'Probability of disgust';
COMMENT ON COLUMN faces.emotion_fear IS 'Probability of fear';
COMMENT ON COLUMN faces.emotion_happy IS 'Probability of happy';
COMMENT ON COLUMN faces.emotion_sad IS 'Probability of sad';
COMMENT ON COLUMN faces.emotion_surprise IS 'Probability of surprise';
COMMENT ON COLUMN faces.emotion_neutral IS 'Probability of neutral';
COMMENT ON COLUMN faces.blend_smile IS 'Blendshape of a smile, 0 to 1; null where the backend has none';
COMMENT ON COLUMN faces.blend_jaw_open IS 'Blendshape of an open jaw';
COMMENT ON COLUMN faces.blend_brow_up IS 'Blendshape of raised brows';
COMMENT ON COLUMN faces.blend_eyes_closed IS 'Blendshape of closed eyes';
COMMENT ON COLUMN faces.glasses IS 'Line over the nose between the eyes, 0 to 1; 0.5 and more is likely glasses';
COMMENT ON COLUMN faces.occlusion IS 'Share of the upper face that is not skin-coloured';
COMMENT ON COLUMN faces.light_left_right IS 'Darker half of the face over the brighter one, left against right';
COMMENT ON COLUMN faces.light_top_bottom IS 'Darker half of the face over the brighter one, top against bottom';
COMMENT ON COLUMN faces.light_evenness IS 'The smaller of the two: 1 for even light, 0 where half of the face is dark';
COMMENT ON COLUMN faces.skin_level IS 'Median linear light of the skin: 0 black, 1 white';
COMMENT ON COLUMN faces.highlight_share IS 'Share of clipped highlights on the face';
COMMENT ON COLUMN faces.shadow_share IS 'Share of crushed shadows on the face';
COMMENT ON COLUMN faces.sharpness IS 'Focus, corrected for scale';
COMMENT ON COLUMN faces.embedding_model IS 'Network of the face embedding; null without one';
COMMENT ON COLUMN faces.photo_cluster IS 'Smallest sha256 of the photo''s cluster of exact and near duplicates';
COMMENT ON COLUMN faces.duplicate_cluster IS 'photo_cluster of a photo that has near duplicates; null otherwise';
COMMENT ON COLUMN faces.cluster_people IS 'People who share that cluster';
COMMENT ON COLUMN faces.cluster_photos IS 'Photos in that cluster';
COMMENT ON COLUMN faces.centroid_similarity IS 'Cosine with the robust centroid of its person; null without embeddings or without other photos';
COMMENT ON COLUMN faces.person_agreement IS 'Share of the person''s photos, near duplicates counted as one, that agree with the centroid';
COMMENT ON COLUMN faces.rival_agreement IS 'Share of them that agree on the most frequent other face';
COMMENT ON COLUMN faces.render_status IS 'ok, or why no portrait could be made; null when not rendered';
COMMENT ON COLUMN faces.size_px IS 'Side of the square portrait';
COMMENT ON COLUMN faces.scale IS 'Portrait pixels per photo pixel';
COMMENT ON COLUMN faces.outside_share IS 'Share of the portrait outside the photo, filled white';
COMMENT ON COLUMN faces.person_share IS 'Mean of the person mask';
COMMENT ON COLUMN faces.matting_backend IS 'What made the person mask';
COMMENT ON COLUMN faces.matting_version IS 'Its version';
COMMENT ON COLUMN faces.format IS 'File format of the portrait';

CREATE TABLE reviews (
    fact VARCHAR NOT NULL PRIMARY KEY,
    photo_sha256 VARCHAR NOT NULL,
    pupils_x DOUBLE,
    pupils_y DOUBLE,
    decision VARCHAR NOT NULL CHECK (decision IN ('keep', 'reject', 'withdrawn')),
    reviewer VARCHAR,
    reason VARCHAR,
    identity VARCHAR,
    stated_at VARCHAR NOT NULL
);
COMMENT ON TABLE reviews IS 'What people decided about faces, every word that was said; review_words has the last ones';
COMMENT ON COLUMN reviews.fact IS 'Name of the journal file';
COMMENT ON COLUMN reviews.photo_sha256 IS 'The photo';
COMMENT ON COLUMN reviews.pupils_x IS 'Midpoint of the pupils, share of the photo''s width';
COMMENT ON COLUMN reviews.pupils_y IS 'Midpoint of the pupils, share of the photo''s height';
COMMENT ON COLUMN reviews.decision IS 'keep, reject, or withdrawn: the reviewer takes an earlier word back';
COMMENT ON COLUMN reviews.reviewer IS 'Who decided';
COMMENT ON COLUMN reviews.reason IS 'Why';
COMMENT ON COLUMN reviews.identity IS 'Whose portrait a keep makes of the face; null where the word names nobody';
COMMENT ON COLUMN reviews.stated_at IS 'When, ISO 8601 in UTC';
