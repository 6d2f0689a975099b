"""speech.decide: which clips are kept, and why the others are not. All thresholds of the speech half act here.

The rules are the table in `rules`; a clip's `reason` is the first that fails. A clip that could not be measured has
its status as its only reason. `shared_clip` and `duplicate` compare clips of known identity that hold speech; of a
person's duplicates the first by `utterance_id` is kept, of a clip that several people have none. `over_cap` counts only
clips that pass every other rule, those with most speech first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa

from voxdata.recipe.speech import SpeechSelect
from voxdata.rules import Columns, Flags, failing
from voxdata.sources.clips import UNKNOWN_IDENTITY
from voxdata.speech.rules import REASONS, RULES, UNHEARD
from voxdata.tables.schemas import UTTERANCE_VERDICTS


def decide(utterances: pa.Table, settings: SpeechSelect, known: Collection[str] = ()) -> pa.Table:
    """One row of `schemas.UTTERANCE_VERDICTS` per row of `schemas.UTTERANCES`, in the same order.

    `known`: the identities that the recipe's metadata names; empty without metadata.
    """
    status = utterances["speech_status"].to_pylist()
    measured = np.array([value == "ok" for value in status], dtype=bool)
    failed = {"unknown_identity": measured & _unknown(utterances, settings, known)}
    clips = Columns(utterances)
    failed |= {
        name: measured & flags for name, flags in failing(RULES, clips, {"speech": {"select": settings}}).items()
    }
    heard = ~np.logical_or.reduce([failed[name] for name in UNHEARD])
    failed |= _repeats(utterances, measured & heard & ~failed["unknown_identity"])
    passing = measured & ~np.logical_or.reduce(list(failed.values()))
    failed["over_cap"] = _over_cap(clips, passing, settings.max_per_identity)
    reasons = [[] if value == "ok" else [value] for value in status]
    for name in (name for name in REASONS if name in failed):
        for index in np.flatnonzero(failed[name]):
            reasons[index].append(name)
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


def _over_cap(clips: Columns, passing: Flags, cap: int | None) -> Flags:
    over = np.zeros(clips.rows, dtype=bool)
    if cap is None:
        return over
    person, name = clips.table["person"].to_pylist(), clips.table["utterance_id"].to_pylist()
    speech_s = clips["speech_s"]
    kept: Counter[str] = Counter()
    for index in sorted(np.flatnonzero(passing).tolist(), key=lambda i: (-speech_s[i], *_order(name[i], i))):
        over[index] = kept[person[index]] >= cap
        kept[person[index]] += 1
    return over


def _order(name: Any, index: int) -> tuple[str, int]:
    return str(name), index
