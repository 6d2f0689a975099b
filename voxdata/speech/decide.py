"""speech.decide: which clips are kept, and why the others are not. All thresholds of the speech half act here.

Rules, in the order in which the first failing one becomes the reason:

1. the status of a clip that could not be measured (`unreadable`, `empty`, `too_long`); no other rule applies to it
2. `unknown_identity`  nobody is named (`unknown`), or, where the recipe asks for it, no metadata names the identity
3. `no_speech`    too little of the clip is speech to WebRTC
4. `music`        the second gate calls too much of that music
5. `noise`        the second gate confirms too little of it, or Silero hears too little speech
6. `too_short`    too little confirmed speech
7. `clipped`      too many clipped samples
8. `shared_clip`  the same samples under different people: all of them are rejected
9. `duplicate`    the same samples again under the same person; the first by `utterance_id` is kept
10. `over_cap`    the person has enough clips with more speech; only clips that pass every other rule count
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from voxdata.recipe.speech import SpeechSelect
from voxdata.sources.speech_files import UNKNOWN_IDENTITY
from voxdata.tables.schemas import UTTERANCE_VERDICTS

Flags = npt.NDArray[np.bool_]

STATUSES = ("unreadable", "empty", "too_long")
RULES = (
    "unknown_identity",
    "no_speech",
    "music",
    "noise",
    "too_short",
    "clipped",
    "shared_clip",
    "duplicate",
    "over_cap",
)


def decide(utterances: pa.Table, settings: SpeechSelect, known: Collection[str] = ()) -> pa.Table:
    """One row of `schemas.UTTERANCE_VERDICTS` per row of `schemas.UTTERANCES`, in the same order.

    `known`: the identities that the recipe's metadata names; empty without metadata.
    """
    status = utterances["speech_status"].to_pylist()
    measured = np.array([value == "ok" for value in status], dtype=bool)
    failed = {"unknown_identity": measured & _unknown(utterances, settings, known)}
    failed |= {rule: measured & flags for rule, flags in _limits(utterances, settings).items()}
    heard = ~failed["no_speech"] & ~failed["music"] & ~failed["noise"]
    failed |= _repeats(utterances, measured & heard & ~failed["unknown_identity"])
    passing = measured & ~np.logical_or.reduce(list(failed.values()))
    failed["over_cap"] = _over_cap(utterances, passing, settings.max_per_identity)
    reasons = [[] if value == "ok" else [value] for value in status]
    for rule in RULES:
        for index in np.flatnonzero(failed[rule]):
            reasons[index].append(rule)
    return pa.Table.from_arrays(
        [
            *(
                utterances[name].combine_chunks()
                for name in ("item_id", "utterance_id", "identity", "person", "bucket")
            ),
            pa.array(["reject" if found else "keep" for found in reasons], pa.string()),
            pa.array([found[0] if found else None for found in reasons], pa.string()),
            pa.array(reasons, pa.list_(pa.string())),
        ],
        schema=UTTERANCE_VERDICTS,
    )


def _unknown(utterances: pa.Table, settings: SpeechSelect, known: Collection[str]) -> Flags:
    strict = settings.unknown_identity == "reject" and known
    names = utterances["identity"].to_pylist()
    return np.array([name == UNKNOWN_IDENTITY or bool(strict and name not in known) for name in names], dtype=bool)


def _limits(utterances: pa.Table, settings: SpeechSelect) -> dict[str, Flags]:
    return {
        "no_speech": _numbers(utterances, "vad_ratio") < settings.min_vad_ratio,
        "music": _numbers(utterances, "music_ratio") > settings.max_music_ratio,
        "noise": (_numbers(utterances, "gate_ratio") < settings.min_gate_ratio)
        | (_numbers(utterances, "silero_ratio", absent=1.0) < settings.min_silero_ratio),
        "too_short": _numbers(utterances, "speech_s") < settings.min_speech_s,
        "clipped": _numbers(utterances, "clipped_share") > settings.max_clipped_share,
    }


def _repeats(utterances: pa.Table, compared: Flags) -> dict[str, Flags]:
    """Clips with the same samples; silence and noise are not compared, one silent clip is like any other."""
    pcm, person, name = (utterances[column].to_pylist() for column in ("pcm_sha256", "person", "utterance_id"))
    indices = sorted(np.flatnonzero(compared).tolist(), key=lambda index: _order(name[index], index))
    people = Counter(sound for sound, _ in {(pcm[index], person[index]) for index in indices})
    seen: set[tuple[str, str]] = set()
    flags = {rule: np.zeros(len(pcm), dtype=bool) for rule in ("shared_clip", "duplicate")}
    for index in indices:
        flags["shared_clip"][index] = people[pcm[index]] > 1
        flags["duplicate"][index] = (pcm[index], person[index]) in seen
        seen.add((pcm[index], person[index]))
    return flags


def _over_cap(utterances: pa.Table, passing: Flags, cap: int | None) -> Flags:
    over = np.zeros(len(passing), dtype=bool)
    if cap is None:
        return over
    person, name = utterances["person"].to_pylist(), utterances["utterance_id"].to_pylist()
    speech_s = _numbers(utterances, "speech_s")
    kept: Counter[str] = Counter()
    for index in sorted(_indices(passing), key=lambda index: (-speech_s[index], *_order(name[index], index))):
        over[index] = kept[person[index]] >= cap
        kept[person[index]] += 1
    return over


def _numbers(utterances: pa.Table, column: str, absent: float = 0.0) -> npt.NDArray[np.float32]:
    """A column as stored; numpy compares float32 with a limit rounded to float32, so that the limit itself passes."""
    values: Sequence[float | None] = utterances[column].to_pylist()
    return np.array([absent if value is None else value for value in values], dtype=np.float32)


def _indices(flags: Flags) -> Iterable[int]:
    return [int(index) for index in np.flatnonzero(flags)]


def _order(name: Any, index: int) -> tuple[str, int]:
    return str(name), index
