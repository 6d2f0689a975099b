"""The tables that stages hand to each other, as Arrow schemas. Units are in the names; see `docs/catalog.md`.

`identity` is a VoxCeleb id or a folder's name, `person` the canonical person above it. `photo_sha256` names a photo's
bytes; a face is `<photo_sha256[:16]>_<index>` under its identity.
"""

from __future__ import annotations

import pyarrow as pa

S, B, I, L, F = pa.string(), pa.bool_(), pa.int32(), pa.int64(), pa.float32()

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # in the order of FER-2013's labels

WHO = [("identity", S), ("person", S), ("bucket", I)]

IDENTITIES = pa.schema([*WHO, ("name", S), ("sex", S), ("nationality", S), ("published_set", S), ("metadata_row", L)])

# What a build's sources hold now. item_id = <identity>/<photo_sha256>
PHOTOS = pa.schema(
    [("item_id", S), *WHO, ("photo_sha256", S), ("size_bytes", L), ("source", S), ("source_key", S), ("licence", S)]
)

# faces.measure: one row per face; a photo without one keeps a single row with face_index null.
FACES = pa.schema(
    [
        ("item_id", S),  # <identity>/<photo_sha256>, the unit of measuring
        *WHO,
        ("photo_sha256", S),
        ("face_id", S),  # <safe identity>/<photo_sha256[:16]>_<face_index>; null without a face
        ("face_index", I),
        ("face_count", I),  # faces above the size floor in this photo
        ("photo_status", S),  # ok | unreadable | too_large | too_small | no_face
        ("measured_until", S),  # last measurement taken: decode | detect | landmarks | all
        ("backend", S),
        ("backend_version", S),
        ("photo_width_px", I),
        ("photo_height_px", I),
        ("photo_phash", S),  # 64-bit perceptual hash of the photo, 16 hex digits
        ("grayscale", B),
        ("box_x_px", F),  # face box in the original photo
        ("box_y_px", F),
        ("box_width_px", F),
        ("box_height_px", F),
        ("detection_score", F),
        ("face_share", F),  # area of the box, share of the photo's
        ("pupil_left_x_px", F),  # the left of the image; in pixels of the original photo
        ("pupil_left_y_px", F),
        ("pupil_right_x_px", F),
        ("pupil_right_y_px", F),
        ("pupil_distance_px", F),
        ("yaw_deg", F),
        ("pitch_deg", F),
        ("roll_deg", F),
        ("face_angle_deg", F),  # acos(cos yaw * cos pitch): between the face's plane and the image's
        ("asymmetry", F),  # left/right landmark misalignment, share of the pupil distance
        ("smile", F),
        ("mouth_open", F),
        ("eyes_open", F),
        ("brow_raise", F),
        ("expression", F),  # distance from neutral by landmark geometry, 0 neutral
        ("emotion_model", S),  # network of the seven probabilities; null without one
        *((f"emotion_{name}", F) for name in EMOTIONS),
        ("blend_smile", F),  # blendshapes 0..1, of backends that have them
        ("blend_jaw_open", F),
        ("blend_brow_up", F),
        ("blend_eyes_closed", F),
        ("glasses", F),  # scores 0..1 of what hides a face
        ("occlusion", F),
        ("light_left_right", F),  # darker half over brighter half, linear light; 1 even
        ("light_top_bottom", F),
        ("light_evenness", F),  # the smaller of the two
        ("skin_level", F),  # median linear light of the skin, 0 black, 1 white
        ("highlight_share", F),
        ("shadow_share", F),
        ("sharpness", F),
        ("embedding_model", S),
        ("embedding", pa.list_(F)),
    ]
)

# faces.link: one row per face (face_id) that has landmarks; photos' duplicate clusters repeated on their faces.
LINKS = pa.schema(
    [
        ("face_id", S),
        ("photo_sha256", S),
        ("photo_cluster", S),  # smallest photo_sha256 of its cluster of exact and near duplicates
        ("cluster_people", I),  # people who share that cluster
        ("cluster_photos", I),
        ("centroid_similarity", F),  # cosine with its person's robust centroid; null without embeddings or other photos
        ("person_agreement", F),  # share of the person's photos (near duplicates as one) that agree with the centroid
        ("rival_agreement", F),  # share that agrees on the most frequent face that does not
    ]
)

# faces.decide: one row per row of FACES.
FACE_VERDICTS = pa.schema(
    [
        ("item_id", S),
        ("face_id", S),
        ("verdict", S),  # keep | reject
        ("reason", S),  # first failing rule; null when kept
        ("reasons", pa.list_(S)),
        ("quality", F),
        ("rank", I),  # 1 = best of its person among faces that pass every rule; null otherwise
        ("candidate", B),  # within 2 x cap: to be rendered
        ("portrait", B),  # verdict keep, rendered, within the cap, and its person has enough
    ]
)

# faces.render: item_id = face_id; blobs: {"jpg": portrait} or {"webp": …}, only when status is ok.
RENDERS = pa.schema(
    [
        ("item_id", S),
        ("face_id", S),
        *WHO,
        ("photo_sha256", S),
        ("render_status", S),  # ok | enlarged_too_much | matting_failed | cascade_missed | unreadable
        ("size_px", I),
        ("scale", F),  # output pixels per photo pixel
        ("outside_share", F),  # of the square outside the photo, filled white
        ("person_share", F),  # mean alpha
        ("matting_backend", S),
        ("matting_version", S),
        ("format", S),
    ]
)

# speech find: what a build's sources hold now. item_id = <utterance_id>@<audio_sha256[:16]>
UTTERANCE_FILES = pa.schema(
    [
        ("item_id", S),
        *WHO,
        ("utterance_id", S),  # <safe identity>/<safe video_segment>: the shard key
        ("video", S),
        ("segment", S),
        ("source", S),
        ("source_key", S),  # path under the source
        ("path", S),  # absolute path or URL, for this build only
        ("offset", L),  # of a clip in a tar; null for a file of its own
        ("size_bytes", L),
        ("audio_sha256", S),
    ]
)

# speech.measure: one row per clip; blobs: {"<front end>.npy": …} for each front end where speech_status is ok.
UTTERANCES = pa.schema(
    [
        ("item_id", S),
        *WHO,
        ("utterance_id", S),
        ("video", S),
        ("segment", S),
        ("audio_sha256", S),
        ("speech_status", S),  # ok | unreadable | empty | too_long
        ("status_detail", S),
        ("decoder", S),
        ("sample_rate_hz", I),  # of the file
        ("channels", I),
        ("duration_s", F),
        ("vad", S),  # name of the voice activity setting
        ("vad_ratio", F),  # share of frames that WebRTC calls speech, after smoothing
        ("gate_ratio", F),  # share of those that the second gate confirms
        ("music_ratio", F),  # share of those that the second gate calls music
        ("silero_ratio", F),  # share of the clip that Silero calls speech; null when not asked for
        ("speech_s", F),
        ("segments", I),
        ("snr_db", F),
        ("clipped_share", F),
        ("dc_offset", F),  # mean of the samples, full scale 1
        ("loudness_dbfs", F),
        ("pitch_median_hz", F),
        ("pitch_range_st", F),  # 10th to 90th percentile, semitones
        ("spectral_flatness", F),
        ("bandwidth_hz", F),
        ("loop_s", F),  # period of a repetition; null when the clip does not repeat
        ("loop_similarity", F),  # correlation of the repetition; 1 sample by sample, less after a lossy codec
        ("frames_torch40", I),
        ("frames_torch64", I),
        ("frames_psf40", I),
        ("frames_sphinx64", I),
        ("vad_psf40", S),  # name of the setting that goes with it; null where it was not asked for
        ("vad_ratio_psf40", F),
        ("vad_sphinx64", S),
        ("vad_ratio_sphinx64", F),
        ("pcm_sha256", S),  # of the decoded 16 kHz samples: finds duplicates across containers
    ]
)

UTTERANCE_VERDICTS = pa.schema(
    [
        ("item_id", S),
        ("utterance_id", S),
        ("verdict", S),
        ("reason", S),
        ("reasons", pa.list_(S)),
    ]
)

SPLITS = pa.schema([("person", S), ("split", S)])  # split: train | val | test

HOLDOUTS = pa.schema([("utterance_id", S), ("holdout", B)])

# Columns that every sidecar starts with; the measurements of the sample's kind follow.
SIDECAR = [
    ("key", S),
    ("member", S),  # file name in the tar
    ("suffix", S),
    ("offset", L),
    ("size", L),
    ("sha256", S),
    ("split", S),
    ("kind", S),  # faces | speech
]
