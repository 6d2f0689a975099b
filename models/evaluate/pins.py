"""Protocol `pins`: verification, 1:N matching and retrieval on the people of "Learnable PINs" (ECCV 2018).

Verification goes by the fixed lists: people of the training (seen-heard) or of the 250 who are unseen and unheard, the
two of a trial of one gender (G), nationality (N), age (A) or all of these (GNA) where a list holds that. 1:N goes by
fixed lists where there are some; on all clips and portraits of the unseen people it is exact for N = 2 to 10: the
right face against N - 1 others of other people, all draws of them (hypergeometric). Retrieval is the mean average
precision over all these, or over the clips and faces of lists. What is asked of whom it must not be is left out and
counted. Shapes: T trials, D draws, K queries, M candidates, C candidates of a trial, B bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from models.errors import EvaluationError
from models.evaluate.listed import PINS, Listed, verified
from models.evaluate.metrics import FloatArray, IntArray
from models.evaluate.pins_lists import HELD, TEST, Matching, PinsLists, Verification
from models.evaluate.trial_lists import Line
from models.evaluate.trial_material import Item, Material, Missing, Resolved
from models.evaluate.trial_scores import Scorer, scorers
from models.evaluate.verification import BoolArray, average_precision, first_of, interval, mean_samples
from voxdata.format.counting import Advance

CANDIDATES = tuple(range(2, 11))
_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What all tables share: who answers, and the numbers of people."""

    material: Material
    everybody: Sequence[Scorer]
    index: Mapping[str, int]
    seed: int
    advance: Advance

    def numbers(self, items: Sequence[Item], rows: IntArray) -> IntArray:
        """Whose some voices or faces are, by number."""
        return np.asarray([self.index[items[row].person] for row in rows.tolist()], np.int64)


@dataclass(frozen=True, kw_only=True)
class _Lines:
    """The lines of a matching list that can be asked: probes (T,) and candidates (T, C), the right one first."""

    probes: IntArray
    candidates: IntArray
    lacking: Missing


def pins_tables(listed: Listed, lists: PinsLists) -> list[dict[str, Any]]:
    """The tables of a run. Raises `EvaluationError` where a list cannot be asked at all."""
    material = listed.material(lists.ids)
    verification = [(each, _trials(material, lists, each)) for each in lists.verification]
    matching = [(each, _lines(material, lists, each)) for each in lists.matching]
    unseen, passed = _unseen(material, lists)
    voices, faces, members = _gallery(material, lists, unseen)
    retrieved = bool(len(voices) and len(faces))
    if not (verification or matching or retrieved):
        raise EvaluationError(
            f"protocol pins: snapshot {listed.snapshot.id} has none of the unseen people of {lists.folder}"
            f"{''.join(f' ({note})' for note in members + passed)}; build from their folders, too (docs/models.md)"
        )
    everybody = scorers(
        listed.evaluation, material, own_judge=listed.own_judge, counting=listed.counting, protocol=PINS
    )
    rounds = len(everybody) * (len(verification) + len(matching) + (2 if retrieved else 0))
    with listed.counting(f"evaluate {PINS}, tables", rounds) as advance:
        asked = _Asked(
            material=material,
            everybody=everybody,
            index=material.index(),
            seed=listed.evaluation.judge.seed,
            advance=advance,
        )
        found = [_verification_table(asked, each, resolved) for each, resolved in verification]
        found += [_matching_table(asked, each, lines) for each, lines in matching]
        if retrieved:
            found += [_candidates_table(asked, voices, faces), _retrieval_table(asked, voices, faces)]
        found[-1]["notes"] += members + passed
    found[0]["notes"] = [*lists.notes(), *material.notes(), *found[0]["notes"]]
    return found


def _trials(material: Material, lists: PinsLists, chosen: Verification) -> Resolved:
    for trial in chosen.trials if not chosen.seen else ():
        for named in (trial.voice, trial.face):
            name = named.partition("/")[0]
            if lists.sets and lists.set_of(name) != TEST:
                said = "has no set" if lists.set_of(name) is None else f"is in set {lists.set_of(name)}"
                raise EvaluationError(
                    f"{trial.line.where}: {name} {said} of identity_splits.txt, and unseen people are those of set "
                    f"{TEST}; give the split that belongs to the list"
                )

    def allowed(voice: Item, face: Item) -> str | None:
        known = {voice.person, face.person} & material.training
        if chosen.seen and len(known) < len({voice.person, face.person}):
            return "of people whom the run was not trained on"
        return "of people whom the run was trained on" if known and not chosen.seen else None

    found = material.resolve(chosen.trials, people=True, allowed=allowed)
    if len({trial.same for trial in found.trials}) < 2:
        path = chosen.trials[0].line.path
        said = " ".join(found.lacking.note(path.name, material.snapshot.id))
        raise EvaluationError(f"protocol pins: {path} leaves no trials of both labels; {said or 'give more of them'}")
    return found


def _verification_table(asked: _Asked, chosen: Verification, resolved: Resolved) -> dict[str, Any]:
    people_T2 = asked.material.people(resolved.voices, resolved.faces, asked.index)
    rows = []
    for scorer in asked.everybody:
        found = verified(
            scorer, resolved.voices, resolved.faces, resolved.same, people_T2, len(asked.index), asked.seed
        )
        asked.advance(1)
        if found is not None:
            rate, area, known_T = found
            people = len(set(people_T2[known_T].ravel().tolist()))
            figures = {"auc": interval(*area, people), "eer": interval(*rate, people)}
            rows.append(_row(scorer, people, int(known_T.sum()), figures))
    path = chosen.trials[0].line.path
    notes = resolved.lacking.note(path.name, asked.material.snapshot.id)
    if chosen.seen:
        heard = sum(asked.material.voices[voice].key in asked.material.heard for voice in resolved.voices.tolist())
        notes.append(
            f"{path.name}: the portraits of seen people are those of the training, and {heard:,} of "
            f"{len(resolved.trials):,} trials have a clip that was trained on, too"
        )
    who = "seen and heard" if chosen.seen else "unseen and unheard"
    held = HELD.get(chosen.held, f"held by {chosen.held}")
    return _table(f"pins {path.stem.removeprefix('veriflist_test_')}", f"verification, {who}, {held}", notes, rows)


def _lines(material: Material, lists: PinsLists, matching: Matching) -> _Lines:
    missing, kept = Missing(asked=len(matching.lines)), []
    for line in matching.lines:
        row = _matching_row(material, lists, matching, line)
        if isinstance(row, str):
            missing.add(row.partition(": ")[0], line, row.partition(": ")[2])
        else:
            kept.append(row)
    if not kept:
        (said,) = missing.note(matching.lines[0].path.name, material.snapshot.id)
        raise EvaluationError(f"protocol pins: {said}; build from the folders that the list is of (docs/models.md)")
    table_TC = np.asarray(kept, np.int64)
    return _Lines(probes=table_TC[:, 0], candidates=table_TC[:, 1:], lacking=missing)


def _matching_row(material: Material, lists: PinsLists, matching: Matching, line: Line) -> list[int] | str:
    """Probe and candidates by their rows, or why they cannot be asked and which path.

    Raises `EvaluationError` where the first candidate is not the only one of the probe's person.
    """
    items: list[Item] = []
    rows: list[int] = []
    for at, path in enumerate(line.fields):
        heard = (at == 0) == matching.by_voice
        item = material.voice(path) if heard else material.face(path)
        row = material.row("speech" if heard else "faces", item)
        if item is None or row is None:
            if not material.names_somebody(path):
                return f"name somebody who is not in it: {path}"
            return f"{'without clip' if heard else 'without portrait'}: {path}"
        if item.person in material.training:
            return f"of people whom the run was trained on: {path}"
        items.append(item)
        rows.append(row)
    if [item.person == items[0].person for item in items[1:]] != [True] + [False] * (len(items) - 2):
        raise EvaluationError(
            f"{line.where}: the first candidate, and no other, is of the person of {line.fields[0]}; this line has "
            "another order"
        )
    return rows


def _matching_table(asked: _Asked, matching: Matching, lines: _Lines) -> dict[str, Any]:
    count, rows = lines.candidates.shape[1], []
    items = asked.material.voices if matching.by_voice else asked.material.faces
    people_T = asked.numbers(items, lines.probes)
    flat_T, probe_T = lines.candidates.ravel(), np.repeat(lines.probes, count)
    for scorer in asked.everybody:
        pair = (probe_T, flat_T) if matching.by_voice else (flat_T, probe_T)
        score_DTC = scorer.pairs(*pair).reshape(scorer.draws, len(people_T), count)
        asked.advance(1)
        known_T = np.isfinite(score_DTC).all(axis=(0, 2))
        if known_T.any():
            right_T = first_of(score_DTC[:, known_T]).mean(axis=0)
            rows.append(_mean_row(asked, scorer, {f"matching_1_of_{count}": right_T}, people_T[known_T]))
    path = matching.lines[0].path
    direction = "a face for a voice" if matching.by_voice else "a voice for a face"
    held = {"U": HELD["random"], "GN": "of one gender and nationality"} | HELD
    title = f"1:{count} matching, {direction}, {held.get(matching.name, matching.name)}"
    return _table(f"pins {path.stem}", title, lines.lacking.note(path.name, asked.material.snapshot.id), rows)


def _unseen(material: Material, lists: PinsLists) -> tuple[set[str], list[str]]:
    """The people of set 4 whom the run was not trained on, as the snapshot names them; what is said of the others."""
    wanted = {person for identity, person in material.owners.items() if lists.set_of(identity) == TEST}
    trained = wanted & material.training
    notes = []
    if trained:
        notes.append(
            f"{len(trained)} of the {len(wanted)} unseen people of identity_splits.txt were trained on and are left out"
        )
    return wanted - trained, notes


def _gallery(material: Material, lists: PinsLists, unseen: set[str]) -> tuple[IntArray, IntArray, list[str]]:
    """The voices and faces that 1:N and retrieval are about: those of lists, else all of the unseen people."""
    if not lists.clips:
        return (*material.everything(unseen), [])
    found, notes = [], []
    for lines, find, kind in ((lists.clips, material.voice, "speech"), (lists.faces, material.face, "faces")):
        missing, rows = Missing(asked=len(lines)), []
        for line in lines:
            item = find(line.fields[1])
            row = material.row(kind, item)
            if item is None or row is None:
                missing.add("that it has not", line, line.fields[1])
            elif item.person in material.training:
                missing.add("of people whom the run was trained on", line, line.fields[1])
            else:
                rows.append(row)
        notes += missing.note(lines[0].path.name, material.snapshot.id)
        found.append(np.asarray(rows, np.int64))
    return found[0], found[1], notes


def _candidates_table(asked: _Asked, voices: IntArray, faces: IntArray) -> dict[str, Any]:
    """1:N by voice over all draws of other people's faces; a person's own other faces are in no draw."""
    rows = []
    owner_K, owner_M = _owners(asked, voices, faces)
    for scorer in asked.everybody:
        right = [
            np.mean([_one_of(score_M, owner_M == person) for score_M in score_DKM[:, at]], axis=0)
            for chunk, score_DKM in _tables(scorer, voices, faces)
            for at, person in enumerate(owner_K[chunk])
        ]
        asked.advance(1)
        values = {
            f"matching_1_of_{count}": value_K for count, value_K in zip(CANDIDATES, np.transpose(right), strict=True)
        }
        rows.append(_mean_row(asked, scorer, values, owner_K))
    return _table("pins 1:N", "1:N matching, a face for a voice, all draws of unseen people", [], rows)


def _one_of(score_M: FloatArray, own_M: BoolArray) -> list[float]:
    """The chance that an own face is above N - 1 of the other people's, for each of `CANDIDATES`; NaN where there are
    too few."""
    known_M = np.isfinite(score_M)
    others, own = np.sort(score_M[known_M & ~own_M]), score_M[known_M & own_M]
    above = len(others) - np.searchsorted(others, own, side="right")
    ties = len(others) - above - np.searchsorted(others, own, side="left")
    return [
        float(first_of_all_draws(above, ties, len(others), count).mean())
        if len(own) and len(others) >= count - 1
        else np.nan
        for count in CANDIDATES
    ]


def first_of_all_draws(above: IntArray, ties: IntArray, others: int, count: int) -> FloatArray:
    """Chance of being first of `count`, over all draws of the rest from `others`.

    `above` of them score higher, and `ties` the same: these stand before and after it equally often.
    """
    before = _chances(others, count)
    mean: FloatArray = (before[above + ties + 1] - before[above]) / (ties + 1)
    return mean


@lru_cache(maxsize=256)
def _chances(others: int, count: int) -> FloatArray:
    """Sums (others + 2,) of the chance that none of r others is among count - 1 drawn, over r from 0."""
    better = np.arange(others + 1)
    steps = np.arange(count - 1)[:, None]
    chance = np.clip((others - better - steps) / (others - steps), 0, None).prod(axis=0)
    return np.concatenate([[0.0], np.cumsum(chance)])


def _retrieval_table(asked: _Asked, voices: IntArray, faces: IntArray) -> dict[str, Any]:
    rows = []
    owner_K, owner_M = _owners(asked, voices, faces)
    for scorer in asked.everybody:
        figures, people = {}, 0
        for key, by_voice in (("map_face_for_voice", True), ("map_voice_for_face", False)):
            precision, whose = _precisions(scorer, voices, faces, owner_K, owner_M, by_voice=by_voice)
            if len(precision):
                people = len(set(whose.tolist()))
                figures[key] = interval(*mean_samples(precision, whose, len(asked.index), seed=asked.seed), people)
        asked.advance(1)
        if figures:
            rows.append(_row(scorer, people, len(voices) + len(faces), figures))
    title = f"retrieval among {len(faces):,} portraits and {len(voices):,} clips of unseen people"
    return _table("pins retrieval", title, [], rows)


def _precisions(
    scorer: Scorer, voices: IntArray, faces: IntArray, owner_K: IntArray, owner_M: IntArray, *, by_voice: bool
) -> tuple[FloatArray, IntArray]:
    """Average precision of every query that has an answer, the mean over the draws, and whose queries they are."""
    precision, whose = [], []
    queries, gallery = (owner_K, owner_M) if by_voice else (owner_M, owner_K)
    for chunk, score_DQC in _tables(scorer, voices, faces, by_voice=by_voice):
        for at, person in enumerate(queries[chunk]):
            known_C = np.isfinite(score_DQC[:, at]).all(axis=0)
            relevant_C = gallery[known_C] == person
            if relevant_C.any():
                each = [average_precision(score_C[known_C], relevant_C) for score_C in score_DQC[:, at]]
                precision.append(float(np.mean(each)))
                whose.append(int(person))
    return np.asarray(precision), np.asarray(whose, np.int64)


def _tables(
    scorer: Scorer, voices: IntArray, faces: IntArray, *, by_voice: bool = True
) -> Iterator[tuple[slice, FloatArray]]:
    """Scores of all queries against all candidates, some queries at a time (D, K, M)."""
    for start in range(0, len(voices if by_voice else faces), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        if by_voice:
            yield chunk, scorer.table(voices[chunk], faces)
        else:
            yield chunk, scorer.table(voices, faces[chunk]).transpose(0, 2, 1)


def _owners(asked: _Asked, voices: IntArray, faces: IntArray) -> tuple[IntArray, IntArray]:
    return asked.numbers(asked.material.voices, voices), asked.numbers(asked.material.faces, faces)


def _mean_row(asked: _Asked, scorer: Scorer, values: Mapping[str, FloatArray], people_T: IntArray) -> dict[str, Any]:
    figures, trials = {}, 0
    for key, value_T in values.items():
        known_T = np.isfinite(value_T)
        if known_T.any():
            people = len(set(people_T[known_T].tolist()))
            samples = mean_samples(value_T[known_T], people_T[known_T], len(asked.index), seed=asked.seed)
            figures[key] = interval(*samples, people)
            trials = max(trials, int(known_T.sum()))
    return _row(scorer, len(set(people_T.tolist())), trials, figures)


def _row(scorer: Scorer, people: int, trials: int, figures: dict[str, Any]) -> dict[str, Any]:
    about = {"name": scorer.name, "kind": scorer.kind, "people": people, "draws": scorer.draws, "trials": trials}
    return about | {"figures": figures}


def _table(name: str, title: str, notes: list[str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"table": name, "protocol": PINS, "title": f"Learnable PINs: {title}", "notes": notes, "rows": rows}
