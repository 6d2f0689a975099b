"""The lists of MAV-Celeb's FAME challenge (2024, 2026), in a folder of the user's.

    <language>_test.txt          `ysuvkz41 voices/English/00000.wav faces/English/00000.jpg`, a trial per line
    labels/<language>_test.txt   `ysuvkz41 1`: 1 is one person; or the labels alone, in the order of the trials

The first is as the challenge gives it out, the second as its baseline's `test.py` reads the truth, which the challenge
keeps for itself: without it there are score files to hand in, and no error rates. Form taken from the README,
`computeScore.py` and `test.py` of the project mavceleb/mavceleb_baseline. Training lists beside them are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from models.errors import EvaluationError
from models.evaluate.trial_lists import DOCS, Trial, check_folder, check_path, label, lines_of, unrepeated

_TEST = "_test.txt"
LABELS = "labels"


@dataclass(frozen=True, kw_only=True)
class FameLists:
    """The trials of each test language; either all of them have labels or none of that language."""

    folder: Path
    trials: Mapping[str, tuple[Trial, ...]]

    def labelled(self, language: str) -> bool:
        """Whether error rates can be told."""
        return self.trials[language][0].same is not None


def read_fame_lists(folder: Path) -> FameLists:
    """All lists of the folder. Raises `EvaluationError`, naming file and line."""
    check_folder(folder)
    paths = sorted(folder.glob(f"*{_TEST}"))
    if not paths:
        raise EvaluationError(f"lists {folder}: no LANGUAGE{_TEST} for the protocol fame; {DOCS}")
    found = {path.name.removesuffix(_TEST): _trials(path) for path in paths}
    for path in sorted((folder / LABELS).glob("*")):
        language = path.name.removesuffix(_TEST)
        if language not in found:
            raise EvaluationError(f"labels {path} are of no list of {folder} (LANGUAGE{_TEST}); name both alike")
        found[language] = _labelled(found[language], path)
    return FameLists(folder=folder, trials=found)


def _trials(path: Path) -> tuple[Trial, ...]:
    trials = []
    for line in lines_of(path, " ", 3):
        key, voice, face = line.fields
        check_path(line, voice, face)
        trials.append(Trial(line, key, voice, face, None))
    return tuple(unrepeated(trials))


def _labelled(trials: tuple[Trial, ...], path: Path) -> tuple[Trial, ...]:
    lines = lines_of(path, " ", None)
    width = len(lines[0].fields)
    for line in lines:
        if len(line.fields) != width or width > 2:
            raise EvaluationError(f"{line.where} has {len(line.fields)} fields, not a trial and its label; {DOCS}")
    if width == 1:
        if len(lines) != len(trials):
            raise EvaluationError(
                f"{path} has {len(lines)} labels without trials, and {trials[0].line.path} {len(trials)} trials; "
                "write each trial before its label"
            )
        return tuple(
            replace(trial, same=label(line, line.fields[0])) for trial, line in zip(trials, lines, strict=True)
        )
    said: dict[str, bool] = {}
    known = {trial.key for trial in trials}
    for line in lines:
        key = line.fields[0]
        if key not in known or key in said:
            why = "is labelled twice" if key in said else f"is not in {trials[0].line.path}"
            raise EvaluationError(f"{line.where}: trial {key!r} {why}; leave the line out")
        said[key] = label(line, line.fields[1])
    bare = [trial for trial in trials if trial.key not in said]
    if bare:
        raise EvaluationError(
            f"{path} has no label for {len(bare)} of {len(trials)} trials, the first is {bare[0].key!r} "
            f"({bare[0].line.where}); label all of them, or give no labels"
        )
    return tuple(replace(trial, same=said[trial.key]) for trial in trials)
