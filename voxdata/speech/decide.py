"""speech.decide: which clips are kept, and why the others are not. All thresholds of the speech half act here.

The rules are the table in `rules`; a clip's `reason` is the first that fails. A clip that could not be measured has
its status as its only reason. `shared_clip` and `duplicate` compare clips of known identity that hold speech; of a
person's duplicates the first by `utterance_id` is kept, of a clip that several people have none. `other_speaker` is
found where a speaker encoder has listened (`voices.py`). `over_cap` counts only clips that pass every other rule, those
with most speech first.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.recipe.speech import SpeechSelect
from voxdata.rules import Columns, Flags, Reasons, failing
from voxdata.sources.clips import UNKNOWN_IDENTITY
from voxdata.speech.rules import REASONS, RULES, UNHEARD
from voxdata.tables.schemas import UTTERANCE_VERDICTS, UTTERANCE_VERDICTS_EVER
from voxdata.tables.speech import OF_VOICES

Rows = npt.NDArray[np.int64]

VOICED = tuple(column.name for column in OF_VOICES)
# What a decision looks at, of `schemas.UTTERANCES`; of `voices.with_similarity` it looks at `VOICED`.
DECIDED_BY = (
    *("item_id", "utterance_id", "identity", "person", "bucket", "speech_status", "pcm_sha256"),
    *dict.fromkeys(rule.column for rule in RULES if rule.column not in VOICED),
)


def decide(utterances: pa.Table, settings: SpeechSelect, known: Collection[str] = ()) -> pa.Table:
    """One row of `schemas.UTTERANCE_VERDICTS` per row of `schemas.UTTERANCES`, in the same order.

    Looks at `DECIDED_BY` and, where they are there, at `VOICED`, which the verdicts then have, too. `known`: the
    identities that the recipe's metadata names; empty without metadata.
    """
    voiced = set(VOICED) <= set(utterances.column_names)
    rules = [rule for rule in RULES if voiced or rule.column not in VOICED]
    clips = Columns(utterances.combine_chunks())
    measured = _flags(pc.equal(clips.table["speech_status"], "ok"))
    failed = {"unknown_identity": measured & _unknown(clips.table["identity"], settings, known)}
    failed |= {
        name: measured & flags for name, flags in failing(rules, clips, {"speech": {"select": settings}}).items()
    }
    heard = ~np.logical_or.reduce([failed[name] for name in UNHEARD])
    failed |= _repeats(clips.table, measured & heard & ~failed["unknown_identity"])
    passing = measured & ~np.logical_or.reduce(list(failed.values()))
    failed["over_cap"] = _over_cap(clips, passing, settings.max_per_identity)
    reasons = Reasons(clips.rows)
    for status in sorted(set(pc.unique(clips.table["speech_status"]).to_pylist()) - {"ok"}):
        reasons.add(status, _flags(pc.equal(clips.table["speech_status"], status)))
    for name in (name for name in REASONS if name in failed):
        reasons.add(name, failed[name])
    copied = ("item_id", "utterance_id", "identity", "person", "bucket", *(VOICED if voiced else ()))
    said = {**{name: clips.table[name] for name in copied}, **reasons.columns()}
    schema = UTTERANCE_VERDICTS_EVER if voiced else UTTERANCE_VERDICTS
    return pa.table({name: said[name] for name in schema.names}).cast(schema)


def _flags(values: pa.ChunkedArray) -> Flags:
    return np.asarray(pc.fill_null(values, False).to_numpy(), np.bool_)


def _codes(texts: pa.ChunkedArray) -> Rows:
    """A number for each different text, (N,)."""
    return np.asarray(pc.fill_null(texts, "").combine_chunks().dictionary_encode().indices.to_numpy(), np.int64)


def _unknown(names: pa.ChunkedArray, settings: SpeechSelect, known: Collection[str]) -> Flags:
    unknown = _flags(pc.equal(names, UNKNOWN_IDENTITY))
    if settings.unknown_identity == "reject" and known:
        unknown |= ~_flags(pc.is_in(names, value_set=pa.array(sorted(known), pa.string())))
    return unknown


def _repeats(clips: pa.Table, compared: Flags) -> dict[str, Flags]:
    """Clips with the same samples; silence and noise are not compared, one silent clip is like any other."""
    rows = np.flatnonzero(compared)
    rows = rows[pc.sort_indices(clips["utterance_id"].take(pa.array(rows))).to_numpy()]  # the first by name is kept
    sounds, people = _codes(clips["pcm_sha256"])[rows], _codes(clips["person"])[rows]
    pairs, first = np.unique(np.stack([sounds, people], axis=1), axis=0, return_index=True)
    several = np.bincount(pairs[:, 0], minlength=int(sounds.max(initial=0)) + 1) > 1
    flags = {rule: np.zeros(len(compared), bool) for rule in ("shared_clip", "duplicate")}
    flags["shared_clip"][rows] = several[sounds]
    flags["duplicate"][rows] = True
    flags["duplicate"][rows[first]] = False
    return flags


def _over_cap(clips: Columns, passing: Flags, cap: int | None) -> Flags:
    over = np.zeros(clips.rows, bool)
    if cap is None:
        return over
    rows = np.flatnonzero(passing)
    rows = rows[pc.sort_indices(clips.table["utterance_id"].take(pa.array(rows))).to_numpy()]
    people = _codes(clips.table["person"])[rows]
    order = np.lexsort((-clips["speech_s"][rows], people))  # of as much speech the first by name
    _, first = np.unique(people[order], return_index=True)
    place = np.arange(len(rows)) - np.repeat(first, np.diff(np.append(first, len(rows))))
    over[rows[order]] = place >= cap
    return over
