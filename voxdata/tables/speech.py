"""Clips, what is measured on each, and what was decided about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from voxdata.tables.column import B, Column, F, I, L, S, Table
from voxdata.tables.faces import VERDICT
from voxdata.tables.people import WHO, WHOSE

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
        Column("speech_status", S, "ok, unreadable, killed_worker, empty or too_long", required=True),
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
        Column("pcm_sha256", S, "sha256 of the decoded 16 kHz samples"),  # finds duplicates across containers
        # The fragments of older versions have `FRONT_END_COLUMNS` instead.
        Column(
            "front_ends",
            pa.map_(S, pa.struct([("frames", I), ("vad", S), ("vad_ratio", F)])),
            "Frames of each front end's log-mel, and its voice activity setting where that is not the clip's own",
        ),
    ),
)

# Beside the columns above in fragments that were measured with a speaker encoder: the unit vector of the clip's speech.
VOICES = Column("voices", pa.map_(S, pa.list_(F)), "Vector of the clip by speaker encoder", catalog=False)
VOICED_UTTERANCES = replace(UTTERANCES, columns=(*UTTERANCES.columns, VOICES))

OLD_FRONT_ENDS = ("torch40", "torch64", "psf40", "sphinx64")  # each had a column `frames_…` before `front_ends`
OWN_VAD = ("psf40", "sphinx64")  # and those whose published code fixes the voice activity setting `vad_…` beside it


def _frames(name: str, of: str) -> Column:
    return Column(f"frames_{name}", I, f"Frames of the {of}", computed=f"front_ends['{name}'].frames")


def _own_vad(name: str) -> tuple[Column, ...]:
    here = f"front_ends['{name}']"
    ratio = f"CASE WHEN {here}.vad IS NOT NULL THEN {here}.vad_ratio WHEN {here} IS NOT NULL THEN vad_ratio END"
    vad = f"CASE WHEN {here} IS NOT NULL THEN coalesce({here}.vad, vad) END"
    return (
        Column(f"vad_{name}", S, f"Voice activity setting of {name}; null when not asked for", computed=vad),
        Column(
            f"vad_ratio_{name}",
            F,
            "Share of frames that it calls speech, after smoothing",
            f"Frames called speech, setting of {name}",
            computed=ratio,
        ),
    )


# Sidecars and the catalog keep them; another front end has rows only.
FRONT_END_COLUMNS = (
    _frames("torch40", "40-bin log-mel"),
    _frames("torch64", "64-bin log-mel"),
    _frames("psf40", "log-mel of SF2F's code; null when not asked for"),
    _frames("sphinx64", "log-mel of voice2face's code; null when not asked for"),
    *(column for name in OWN_VAD for column in _own_vad(name)),
)
# Fragments of any version: those of older ones have `FRONT_END_COLUMNS` where `front_ends` is null.
UTTERANCES_EVER = replace(UTTERANCES, columns=(*UTTERANCES.columns, *FRONT_END_COLUMNS))


def front_ends_ever() -> str:
    """SQL of `front_ends` over rows of `UTTERANCES_EVER`."""
    rows = []
    for name in OLD_FRONT_ENDS:
        own = f"vad_{name} IS DISTINCT FROM vad" if name in OWN_VAD else "false"
        vad, ratio = (f"{what}_{name}" if name in OWN_VAD else "NULL" for what in ("vad", "vad_ratio"))
        fields = f"'frames': frames_{name}, 'vad': CASE WHEN {own} THEN {vad} END::VARCHAR"
        value = f"{{{fields}, 'vad_ratio': CASE WHEN {own} THEN {ratio} END::REAL}}"
        rows.append(f"CASE WHEN frames_{name} IS NOT NULL THEN {{'key': '{name}', 'value': {value}}} END")
    listed = f"list_filter([{', '.join(rows)}], lambda each: each IS NOT NULL)"
    return f"coalesce(front_ends, CASE WHEN speech_status = 'ok' THEN map_from_entries({listed}) END)"


def front_end_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """`FRONT_END_COLUMNS` of a row of `UTTERANCES_EVER`, as the catalog computes them from `front_ends`."""
    if row.get("front_ends") is None:
        return {column.name: row.get(column.name) for column in FRONT_END_COLUMNS}
    rows = dict(row["front_ends"])
    found: dict[str, Any] = {f"frames_{name}": rows[name]["frames"] for name in OLD_FRONT_ENDS if name in rows}
    for name in OWN_VAD:
        if name in rows:
            source = rows[name] if rows[name]["vad"] is not None else row
            found |= {f"{what}_{name}": source.get(what) for what in ("vad", "vad_ratio")}
    return {column.name: found.get(column.name) for column in FRONT_END_COLUMNS}


# speech.audio: one row per clip that is packed; blobs: {"flac": …} where audio_status is ok. Not in the catalog, whose
# `samples` say which members a sample has.
CLIP_AUDIO = Table(
    "clip_audio",
    "The sound of clips, as shards hold it",
    (
        ITEM_ID,
        *WHO,
        UTTERANCE_ID,
        AUDIO_SHA256,
        Column("audio_status", S, "ok, or killed_worker"),
        Column("audio_s", F, "Length of the sound"),
    ),
)

# Reason of a clip that was good, had its person a portrait; the catalog states it, as `faces.WITHOUT_SPEECH`.
WITHOUT_PORTRAITS = "without_portraits"

# speech.decide: one row per row of UTTERANCES.
UTTERANCE_VERDICTS = Table(
    "utterance_verdicts",
    "What was decided about each clip",
    (ITEM_ID, UTTERANCE_ID, *WHOSE, *VERDICT),
)

# Beside them where a speaker encoder has listened.
OF_VOICES = (
    Column(
        "voice_similarity",
        F,
        "Cosine with the voice of the person's other videos; null without two of them or without a speaker encoder",
        "Likeness to the voice of the person's other videos",
    ),
    Column("voice_videos", I, "How many other videos of the person its voice was compared with"),
)
UTTERANCE_VERDICTS_EVER = replace(UTTERANCE_VERDICTS, columns=(*UTTERANCE_VERDICTS.columns, *OF_VOICES))

HOLDOUT = Column("holdout", B, "In the training split, kept for closed-set tests; null when not in the dataset")
HOLDOUTS = Table("holdouts", "Clips that are kept out of training", (UTTERANCE_ID, HOLDOUT))

# What the catalog's `utterances` has of the other stages.
OF_FILES = UTTERANCE_FILES.without(*UTTERANCES.names)
OF_VERDICTS = UTTERANCE_VERDICTS_EVER.without("item_id", "utterance_id")
_IDS = ("item_id", "identity", "person", "bucket", "utterance_id", "video", "segment", "audio_sha256")
_LAST = ("pcm_sha256", "front_ends")
MEASURED = (*UTTERANCES.without(*_IDS, *_LAST), *FRONT_END_COLUMNS, UTTERANCES["pcm_sha256"])
# The columns of a clip that sidecars have.
SIDECAR_CLIP = Table("sidecar_clip", "A clip", (*WHO, UTTERANCE_ID, *CLIP, AUDIO_SHA256, *MEASURED))

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
        *MEASURED,
        UTTERANCES["front_ends"],
    ),
)
