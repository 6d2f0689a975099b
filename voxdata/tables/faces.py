"""Photos, the faces in them, what was decided about each face, the portraits, and what reviewers said."""

from __future__ import annotations

from dataclasses import replace

from voxdata.tables.column import TEXTS, B, Column, D, F, I, L, S, Table, one_of
from voxdata.tables.people import AT, WHO, WHOSE, stated

ITEM_ID = Column("item_id", S, "Its photo: <identity>/<photo_sha256>", computed="identity || '/' || photo_sha256")
PHOTO_SHA256 = Column("photo_sha256", S, "sha256 of the photo's original bytes", required=True)
FACE_ID = Column(
    "face_id",  # <safe identity>/<photo_sha256[:16]>_<face_index>
    S,
    "Shard key of the portrait; null without a face",
    computed="coalesce(face_folder, identity) || '/' || photo_sha256[:16] || '_' || face_index",
)
VERDICT = (
    Column("verdict", S, "keep or reject", required=True, check=one_of("keep", "reject")),
    Column("reason", S, "First rule that it failed; null when kept"),
    Column("reasons", TEXTS, "All rules that it failed"),
)

# Where a source has its photo, and what it says of it.
STATED = (
    Column("source_key", S, "Where in the source: a path or a URL"),
    Column("licence", S, "Licence of the photo, as the source says; where it is known, by its SPDX-like name"),
    Column("licence_url", S, "Where the licence can be read"),
    Column("author", S, "Who made the photo"),
    Column("attribution", S, "How the author wants to be named, as the source says"),
    Column("restrictions", S, "Rights besides the licence that the source names, as personality"),
    Column("page_url", S, "Page that shows and describes the photo"),
)
# What it may say besides the licence.
STATED_FACTS = ("licence_url", "author", "attribution", "restrictions", "page_url")

# What a build's sources hold now.
PHOTOS = Table(
    "photos",
    "Photos that the sources of the build hold",
    (
        ITEM_ID,
        *WHO,
        PHOTO_SHA256,
        Column("size_bytes", L, "Size of the original", check="{} >= 0"),
        Column("source", S, "Kind of source of the photo"),
        *STATED,
    ),
)

# faces.measure without the measures, whose columns stand in their own files; `voxdata/faces/columns.py` has them all.
# The unit of measuring is the photo (`item_id`).
FACE_ROWS = Table(
    "faces",
    "Every face that was looked at, kept or not; a photo without one keeps a single row",
    (
        ITEM_ID,
        *WHO,
        PHOTO_SHA256,
        FACE_ID,
        Column(
            "face_index",
            I,
            "Number of the face in its photo, largest first, from 0",
            computed="nullif(face_number, 0) - 1",
        ),
        Column("face_count", I, "Faces above the size floor in the photo"),
        Column("photo_status", S, "ok, unreadable, killed_worker, too_large, too_small or no_face", required=True),
        Column("measured_until", S, "Last measurement taken: decode, detect, landmarks or all"),
        Column("backend", S, "Detector and landmarks"),
        Column("backend_version", S, "Its version"),
        Column("photo_width_px", I, "Width of the photo"),
        Column("photo_height_px", I, "Height of the photo"),
        Column(
            "decoded_share",
            F,
            "Of a photo whose file was cut: share of the picture that was there; else null",
            "Cut photo, share that is there",
        ),
        Column("photo_phash", S, "64-bit perceptual hash of the photo, 16 hex digits", catalog=False),
        Column("grayscale", B, "Whether the photo has no colour, or one tint only as sepia has"),
        Column("box_x_px", F, "Left edge of the face box in the photo"),
        Column("box_y_px", F, "Top edge"),
        Column("box_width_px", F, "Width of the face box"),
        Column("box_height_px", F, "Height of the face box"),
        Column("detection_score", F, "Confidence of the detector", "Detector confidence"),
        Column("face_share", F, "Area of the face box, share of the photo's", "Face box, share of the photo"),
    ),
)

# What links are made of: large, and in the fragments only.
FOR_LINKS = ("embedding", "face_print")

# What a page computes from columns of the catalog.
SIDES = (
    Column(
        "face_side_px",
        F,
        "Shorter side of the face box",
        "Face box, shorter side",
        computed="least(box_width_px, box_height_px)",
    ),
    Column(
        "photo_side_px",
        F,
        "Shorter side of the photo",
        "Photo, shorter side",
        computed="least(photo_width_px, photo_height_px)",
    ),
)

# faces.link: one row per face that has landmarks; what is a photo's (its cluster of duplicates) or a person's
# (agreement, zero of pitch) is repeated on the faces.
LINKS = Table(
    "links",
    "How each face relates to the other photos: duplicates, agreement with its person, pitch beside theirs",
    (
        FACE_ID,
        PHOTO_SHA256,
        Column(
            "photo_cluster",
            S,
            "Smallest sha256 of the photo's cluster of exact and near duplicates",
            computed="CASE WHEN cluster_photos IS NOT NULL THEN coalesce(duplicate_cluster, photo_sha256) END",
        ),
        Column("cluster_people", I, "People who share that cluster"),
        Column("cluster_photos", I, "Photos in that cluster"),
        Column(
            "centroid_similarity",
            F,
            "Cosine with the robust centroid of its person; null without embeddings or without other photos",
            "Cosine with the person's centroid",
        ),
        Column(
            "person_agreement",
            F,
            "Share of the person's photos, near duplicates counted as one, that agree with the centroid",
            "Share of the person's photos that agree",
        ),
        Column(
            "rival_agreement",
            F,
            "Share of them that agree on the most frequent other face",
            "Share that agrees on another face",
        ),
        Column(
            "own_zero_deg",
            F,
            "The person's own zero of pitch: what their photos share of it, as far as they are many enough to tell",
            "Person's own zero of pitch",
        ),
        Column(
            "nod_deg",
            F,
            "Pitch counted from the person's own zero; above 0 the chin is raised, 0 looks into the camera",
            "Nod",
        ),
    ),
)

# Reason of a face that would be a portrait, had a clip of its person been kept. What was kept of whom is known when
# everything is decided: the catalog states it, `faces.decide` cannot.
WITHOUT_SPEECH = "without_speech"

# faces.decide: one row per row of `faces`.
FACE_VERDICTS = Table(
    "face_verdicts",
    "What was decided about each face",
    (
        ITEM_ID,
        FACE_ID,
        *WHOSE,
        *VERDICT,
        Column("quality", F, "Score that ranks the faces of a person", "Quality score"),
        Column("rank", I, "1 is the best of its person among faces that pass every rule", check="{} >= 1"),
        Column("candidate", B, "Whether it was good enough to be rendered"),  # within 2 x cap
        # As decided: kept, rendered, within the cap, and its person has enough. In the catalog it is packed, too.
        Column("portrait", B, "Whether it is a portrait of the version: kept, and packed with speech of its person"),
    ),
)

# faces.render: item_id = face_id; blobs: {"jpg": portrait} or {"webp": …}, only when status is ok.
RENDERS = Table(
    "renders",
    "The portraits that were rendered, and why others could not be",
    (
        replace(ITEM_ID, doc="Its face_id"),
        FACE_ID,
        *WHO,
        PHOTO_SHA256,
        # ok | enlarged_too_much | matting_failed | cascade_missed | unreadable | killed_worker
        Column("render_status", S, "ok, or why no portrait could be made; null when not rendered"),
        Column("size_px", I, "Side of the square portrait", check="{} > 0"),
        Column("scale", F, "Portrait pixels per photo pixel", "Enlargement of the render"),
        Column("outside_share", F, "Share of the portrait outside the photo, filled white", "Render outside the photo"),
        Column("person_share", F, "Mean of the person mask", "Person in the render"),
        Column("matting_backend", S, "What made the person mask"),
        Column("matting_version", S, "Its version"),
        Column("format", S, "File format of the portrait"),
    ),
)

# What the catalog's `faces` has of the other stages.
OF_PHOTOS = PHOTOS.without("item_id", "identity", "person", "bucket", "photo_sha256")
OF_VERDICTS = FACE_VERDICTS.without("item_id", "face_id")
OF_LINKS = LINKS.without("face_id", "photo_sha256", "photo_cluster")
OF_RENDERS = RENDERS.without(*FACE_ROWS.names)

# A person's judgement of one face: the photo and where its pupils are, so that it survives another backend.
REVIEWS = Table(
    "reviews",
    "What people decided about faces, every word that was said; review_words has the last ones",
    (
        replace(PHOTO_SHA256, doc="The photo"),
        Column("pupils_x", D, "Midpoint of the pupils, share of the photo's width"),
        Column("pupils_y", D, "Midpoint of the pupils, share of the photo's height"),
        Column(
            "decision",
            S,
            "keep, reject, or withdrawn: the reviewer takes an earlier word back",
            required=True,
            check=one_of("keep", "reject", "withdrawn"),
        ),
        Column("reviewer", S, "Who decided"),
        Column("reason", S, "Why"),
        Column("identity", S, "Whose portrait a keep makes of the face; null where the word names nobody"),
        replace(AT, name="reviewed_at"),
    ),
)
REVIEWS_TABLE = stated(REVIEWS)
