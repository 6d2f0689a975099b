"""Protocol `fame`: face-voice verification over languages, as the FAME challenge has it (2024: arXiv 2404.09342; 2026:
arXiv 2508.04592).

A model that was trained on one language is asked about trials in that language (heard) and in the other (unheard); test
people are unknown to it. The figure is the equal error rate of each, the challenge's score the mean of the four of two
models. A score to hand in is the L2 distance of the unit embeddings of voice and face: the smaller, the likelier.
Shapes: T trials, D draws, B bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import EvaluationError
from models.evaluate.fame_lists import FameLists
from models.evaluate.listed import FAME, Listed, Samples, verified
from models.evaluate.metrics import FloatArray
from models.evaluate.trial_material import Item, Material, Resolved
from models.evaluate.trial_scores import Scorer, scorers
from models.evaluate.verification import interval
from voxdata.format.atomic import write_atomic

HEARD, UNHEARD = "heard", "unheard"


@dataclass(frozen=True, kw_only=True)
class FameScores:
    """What a run reached: per row and test language the equal error rate with its samples; `people` are those of the
    trials, `kinds` the kind of each row."""

    run: str
    heard: tuple[str, ...]
    people: tuple[str, ...]
    kinds: Mapping[str, str]
    rates: Mapping[tuple[str, str], Samples]


def fame_table(listed: Listed, lists: FameLists) -> dict[str, Any]:
    """The table of a run, after its scores to hand in are written. Raises `EvaluationError`, `StorageError`."""
    material = listed.material()
    heard, said = _heard(material, lists)
    resolved = {language: _resolved(material, lists, language) for language in lists.trials}
    judge = listed.evaluation.judge
    everybody = scorers(
        listed.evaluation, material, own_judge=listed.own_judge, counting=listed.counting, protocol=FAME
    )
    notes = [said] + [
        note
        for language, each in resolved.items()
        for note in each.lacking.note(f"{language}_test.txt", listed.snapshot.id)
    ]
    written = [
        _hand_in(everybody[0], lists, language, each, _name(language, heard), listed.folder)
        for language, each in resolved.items()
    ]
    notes += [note for _, found in written for note in found]
    bare = [language for language in lists.trials if not lists.labelled(language)]
    if bare:
        notes.append(f"{', '.join(bare)}: no labels, so no error rates; the scores can be handed in")
    index = material.index()
    rows: list[dict[str, Any]] = []
    rates: dict[tuple[str, str], Samples] = {}
    for scorer in everybody:
        row, found = _row(scorer, material, lists, resolved, heard, index, judge.seed)
        rates |= {(scorer.name, language): samples for language, samples in found.items()}
        if row["figures"] or scorer is everybody[0]:
            rows.append(row)
    listed.lists.scored.append(
        FameScores(
            run=str(judge.generator.run["run"]["run_dir"]).rstrip("/").rpartition("/")[2],
            heard=heard,
            people=tuple(index),
            kinds={scorer.name: scorer.kind for scorer in everybody},
            rates=rates,
        )
    )
    return {
        "table": FAME,
        "protocol": FAME,
        "title": f"FAME: verification over languages, trained on {' and '.join(heard)}",
        "heard": list(heard),
        "files": [str(path.relative_to(listed.folder.parent)) for path, _ in written],
        "notes": [*notes, *material.notes(), *_about_people(index, resolved)],
        "rows": rows,
    }


def fame_mean(scored: Sequence[FameScores]) -> dict[str, Any]:
    """The challenge's score: the mean of the equal error rates of all runs and test languages, row by row.

    Samples of the same people are put together one by one; runs that were asked about other people give no interval.
    Raises `EvaluationError` where two runs have heard the same.
    """
    twice = [each for each in scored if sum(other.heard == each.heard for other in scored) > 1]
    if twice:
        raise EvaluationError(
            f"runs {', '.join(each.run for each in twice)} have all heard {' and '.join(twice[0].heard)}; FAME's mean "
            "is over models of other languages: give one run of each"
        )
    names = [name for name in scored[0].kinds if all(name in each.kinds for each in scored)]
    same_people = len({each.people for each in scored}) == 1
    told = {(each.heard, language) for each in scored for _, language in each.rates}
    rows = []
    for name in names:
        cells = {
            f"eer_{' and '.join(each.heard)} to {language}": samples
            for each in scored
            for (row, language), samples in each.rates.items()
            if row == name
        }
        if not cells:
            continue
        count = len(scored[0].people) if same_people else 0
        figures = {key: interval(value, sample_B, count) for key, (value, sample_B) in cells.items()}
        if len(cells) == len(told):  # a mean over fewer is no figure beside those of other rows
            figures["eer_mean"] = _mean(list(cells.values()), count)
        people = max(len(each.people) for each in scored)
        rows.append({"name": name, "kind": scored[0].kinds[name], "people": people, "draws": 1, "figures": figures})
    notes = [] if same_people else ["the runs were asked about other people: no intervals"]
    return {
        "table": "fame mean",
        "protocol": FAME,
        "title": f"FAME: mean over {len(scored)} models",
        "notes": notes,
        "rows": rows,
    }


def _mean(cells: Sequence[Samples], people: int) -> dict[str, float]:
    value = float(np.mean([value for value, _ in cells]))
    return interval(value, np.mean([sample_B for _, sample_B in cells], axis=0), people)


def _heard(material: Material, lists: FameLists) -> tuple[tuple[str, ...], str]:
    """The languages that the run was trained on, by the folders of its clips, and what is said of that."""
    counts = material.languages(lists.trials)
    if not counts:
        raise EvaluationError(
            f"protocol fame: no clip that the run was trained on lies in a folder named "
            f"{' or '.join(lists.trials)}, so nobody can say which language is heard; build from MAV-Celeb's folders, "
            "voices/ID/LANGUAGE/VIDEO/CLIP.wav"
        )
    heard = tuple(language for language in lists.trials if counts[language])
    said = " and ".join(f"{counts[language]:,} clips of {language}" for language in heard)
    more = "" if len(heard) == 1 else "; the challenge trains on one language, so this is no entry of it"
    return heard, f"the run was trained on {said}{more}"


def _name(language: str, heard: Sequence[str]) -> str:
    return f"{language}_{HEARD if language in heard else UNHEARD}"


def _resolved(material: Material, lists: FameLists, language: str) -> Resolved:
    def allowed(voice: Item, face: Item) -> str | None:
        known = {voice.person, face.person} & material.training
        return "of people whom the run was trained on" if known else None

    found = material.resolve(lists.trials[language], people=False, allowed=allowed)
    if not found.trials:
        (said,) = found.lacking.note(f"{language}_test.txt", material.snapshot.id)
        raise EvaluationError(f"protocol fame: {said}; build from the test folders, too (docs/models.md)")
    return found


def _hand_in(
    scorer: Scorer, lists: FameLists, language: str, resolved: Resolved, name: str, folder: Path
) -> tuple[Path, list[str]]:
    """Write the scores of a language, a line per trial of its list; the path, and what must be known of it."""
    cosine_T = scorer.pairs(resolved.voices, resolved.faces).mean(axis=0)
    distance_T: FloatArray = np.sqrt(np.maximum(2 - 2 * cosine_T, 0))
    scored = {trial.key: float(distance) for trial, distance in zip(resolved.trials, distance_T, strict=True)}
    middle = float(np.median(distance_T))
    lines = [f"{trial.key} {scored.get(trial.key, middle):f}\n" for trial in lists.trials[language]]
    path = folder / f"sub_score_{name}.txt"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: file.write("".join(lines).encode()))
    lacking = len(lines) - len(scored)
    said = f"{path.name} has the distances of {scorer.name}"
    if lacking:
        said += f"; the {lacking:,} trials that cannot be asked have the median of the others there, {middle:f}"
    return path, [said]


def _row(
    scorer: Scorer,
    material: Material,
    lists: FameLists,
    resolved: Mapping[str, Resolved],
    heard: Sequence[str],
    index: Mapping[str, int],
    seed: int,
) -> tuple[dict[str, Any], dict[str, Samples]]:
    """A row of the table, and its equal error rates by language."""
    figures, rates, trials, asked = {}, {}, 0, set[int]()
    for language, each in resolved.items():
        if not lists.labelled(language):
            trials += len(each.trials)
            continue
        people_T2 = material.people(each.voices, each.faces, index)
        found = verified(scorer, each.voices, each.faces, each.same, people_T2, len(index), seed)
        if found is None:
            continue
        rate, area, known_T = found
        rates[language] = rate
        trials += int(known_T.sum())
        asked |= set(people_T2[known_T].ravel().tolist())
        for key, samples in (("eer", rate), ("auc", area)):
            figures[f"{key}_{_name(language, heard)}"] = interval(*samples, len(index))
    if len(rates) > 1 and len(rates) == sum(map(lists.labelled, resolved)):
        figures["eer_mean"] = _mean(list(rates.values()), len(index))
    row = {"name": scorer.name, "kind": scorer.kind, "people": len(asked) or len(index), "draws": scorer.draws}
    return row | {"trials": trials, "figures": figures}, rates


def _about_people(index: Mapping[str, int], resolved: Mapping[str, Resolved]) -> list[str]:
    trials = sum(len(each.trials) for each in resolved.values())
    if len(index) < trials:
        return [f"intervals are over the {len(index)} people of the trials"]
    return ["every trial has people of its own in this snapshot: intervals are over trials, narrower than over people"]
