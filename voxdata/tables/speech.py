"""Clips, what is measured on each, and what was decided about it."""

from __future__ import annotations

from dataclasses import replace

from voxdata.tables.column import B, Column, F, I, L, S, Table
from voxdata.tables.faces import VERDICT
from voxdata.tables.people import WHO

ITEM_ID = Column(
    "item_id",
    S,
    "<utterance_id>@<start of audio_sha256>",
    computed="utterance_id || '@' || coalesce(audio_sha256, 'unreadable')[:16]",
)
UTTERANCE_ID = Column(
    "utterance_id",  # <safe identity>/<safe video>_<segment>
    S,
    "Shard key",
    computed="coalesce(utterance_name, identity || '/' || video || '_' || segment)",
)
CLIP = (Column("video", S, "Video that it was cut from"), Column("segment", S, "Segment of the video"))
AUDIO_SHA256 = Column("audio_sha256", S, "sha256 of the file")

# speech.find: what a build's sources hold now.
UTTERANCE_FILES = Table(
    "utterance_files",
    "Clips that the sources of the build hold",
    (
        ITEM_ID,
        *WHO,
        UTTERANCE_ID,
        *CLIP,
        Column("source", S, "Kind of source"),
        Column("source_key", S, "Path under the source"),
        Column("path", S, "Absolute path or URL, for this build only", catalog=False),
        Column("offset", L, "Of a clip in a tar; null for a file of its own", catalog=False),
        Column("size_bytes", L, "Size of the file", catalog=False),
        AUDIO_SHA256,
    ),
)

# speech.measure: one row per clip; blobs: {"<front end>.npy": …} for each front end where speech_status is ok.
UTTERANCES = Table(
    "utterances",
    "Every clip that was listened to, kept or not",
    (
        ITEM_ID,
        *WHO,
        UTTERANCE_ID,
        *CLIP,
        AUDIO_SHA256,
        Column("speech_status", S, "ok, unreadable, empty or too_long", required=True),
        Column("status_detail", S, "What was wrong"),
        Column("decoder", S, "What decoded it"),
        Column("sample_rate_hz", I, "Of the file"),
        Column("channels", I, "Of the file"),
        Column("duration_s", F, "Length of the clip", "Duration of the file"),
        Column("vad", S, "Voice activity setting"),
        Column(
            "vad_ratio",
            F,
            "Share of frames that WebRTC calls speech, after smoothing",
            "Frames called speech (WebRTC)",
        ),
        Column("gate_ratio", F, "Share of those that the second gate confirms", "… confirmed by the second gate"),
        Column("music_ratio", F, "Share of those that the second gate calls music", "… that hold notes as music does"),
        Column(
            "silero_ratio",
            F,
            "Share of the clip that Silero calls speech; null when not asked for",
            "Clip called speech by Silero",
        ),
        Column("speech_s", F, "Speech after both gates", "Speech"),
        Column("segments", I, "Stretches of speech", "Speech segments"),
        Column("snr_db", F, "Speech over background", "Signal to noise"),
        Column("clipped_share", F, "Share of clipped samples", "Clipped samples"),
        Column("dc_offset", F, "Mean of the samples, full scale 1", "Mean of the samples, full scale 1"),
        Column("loudness_dbfs", F, "Level of the speech", "Loudness"),
        Column("pitch_median_hz", F, "Median fundamental frequency", "Pitch, median"),
        Column("pitch_range_st", F, "10th to 90th percentile of pitch, semitones", "Pitch range"),
        Column("spectral_flatness", F, "1 for noise, 0 for a tone", "Spectral flatness"),
        Column("bandwidth_hz", F, "Highest frequency with content", "Bandwidth"),
        Column("loop_s", F, "Period of a repetition; null when the clip does not repeat", "Period of a repetition"),
        Column(
            "loop_similarity",
            F,
            "Correlation of the repetition; 1 sample by sample, less after a lossy codec",
            "Correlation of the repetition",
        ),
        Column("frames_torch40", I, "Frames of the 40-bin log-mel"),
        Column("frames_torch64", I, "Frames of the 64-bin log-mel"),
        Column("frames_psf40", I, "Frames of the log-mel of SF2F's code; null when not asked for"),
        Column("frames_sphinx64", I, "Frames of the log-mel of voice2face's code; null when not asked for"),
        Column("vad_psf40", S, "Voice activity setting of psf40; null when not asked for"),
        Column(
            "vad_ratio_psf40",
            F,
            "Share of frames that it calls speech, after smoothing",
            "Frames called speech, setting of psf40",
        ),
        Column("vad_sphinx64", S, "Voice activity setting of sphinx64; null when not asked for"),
        Column(
            "vad_ratio_sphinx64",
            F,
            "Share of frames that it calls speech, after smoothing",
            "Frames called speech, setting of sphinx64",
        ),
        Column("pcm_sha256", S, "sha256 of the decoded 16 kHz samples"),  # finds duplicates across containers
    ),
)

# speech.decide: one row per row of UTTERANCES.
UTTERANCE_VERDICTS = Table(
    "utterance_verdicts",
    "What was decided about each clip",
    (ITEM_ID, UTTERANCE_ID, *VERDICT),
)

HOLDOUT = Column("holdout", B, "In the training split, kept for closed-set tests; null when not in the dataset")
HOLDOUTS = Table("holdouts", "Clips that are kept out of training", (UTTERANCE_ID, HOLDOUT))

# What the catalog's `utterances` has of the other stages.
OF_FILES = UTTERANCE_FILES.without(*UTTERANCES.names)
OF_VERDICTS = UTTERANCE_VERDICTS.without("item_id", "utterance_id")
_IDS = ("item_id", "identity", "person", "bucket", "utterance_id", "video", "segment", "audio_sha256")

UTTERANCES_TABLE = replace(
    UTTERANCES,
    columns=(
        ITEM_ID,
        *WHO,
        UTTERANCE_ID,
        Column("utterance_name", S, "Its shard key, where that is not <identity>/<video>_<segment>"),
        *CLIP,
        *OF_FILES,
        AUDIO_SHA256,
        *OF_VERDICTS,
        HOLDOUT,
        *UTTERANCES.without(*_IDS),
    ),
)
