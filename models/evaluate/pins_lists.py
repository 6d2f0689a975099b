"""The lists of "Learnable PINs" (Nagrani, Albanie, Zisserman, ECCV 2018), in a folder of the user's, or below it.

    veriflist_test_<held>_<set>.txt   commas, with a header: `id,voice-speaker-id,face-speaker-id,label,voice-path,
                                      face-path`; <held> says in what the two people of a trial agree: random,
                                      G (gender), N (nationality), A (age), GNA; <set> is seenheard or unseenunheard
    matching_v2f_<held>.csv           blanks: the voice, the face of its speaker, 1 to 9 other faces; f2v: the other way
    wav_20k.csv, jpg_20k.csv          tabs, with a header: whose, and which clips or faces retrieval is among
    identity_splits.txt               `A.J._Buckley 1`: 1 trains, 2 validates, 4 is unseen and unheard
    vox1_meta.csv                     VoxCeleb1's table, tabs: `id10001 A.J._Buckley …`; needed for the paths with names

The first and the fourth are the authors' (their README gives names and columns; 901, 100 and 250 people), the second
and third are what work since has used on the same people, as the project Cocoxili/CMPC has them. A voice is
`<name>/<video>_<segment>.wav` in the first and `<id>/<video>/<segment>.wav` in the others, a face
`<name>/<video>/<frame>.jpg`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.errors import EvaluationError
from models.evaluate.trial_lists import (
    DOCS,
    Line,
    Trial,
    check_folder,
    check_path,
    label,
    lines_of,
    listed,
    unrepeated,
)

HEADER = ("id", "voice-speaker-id", "face-speaker-id", "label", "voice-path", "face-path")
HELD = {"random": "any two people", "G": "of one gender", "N": "of one nationality", "A": "of one age"}
SEEN, UNSEEN = "seenheard", "unseenunheard"
TRAIN, VALIDATE, TEST = "1", "2", "4"
PUBLISHED = {TRAIN: 901, VALIDATE: 100, TEST: 250}
_VERIFICATION, _MATCHING = "veriflist_test_", "matching_"
_MOST_CANDIDATES = 10


@dataclass(frozen=True, kw_only=True)
class Verification:
    """One list of trials; in what its people agree, and whether they were trained on."""

    held: str
    seen: bool
    trials: tuple[Trial, ...]


@dataclass(frozen=True, kw_only=True)
class Matching:
    """One list of 1:N; each line is the probe, the right candidate, the others."""

    name: str
    by_voice: bool
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class PinsLists:
    """All lists of a folder; `sets` is the set of each person by name, `ids` VoxCeleb's id by name, `clips` and `faces`
    what retrieval is among, empty where no list says so."""

    folder: Path
    verification: tuple[Verification, ...]
    matching: tuple[Matching, ...]
    sets: Mapping[str, Line]
    ids: Mapping[str, str]
    clips: tuple[Line, ...]
    faces: tuple[Line, ...]

    def set_of(self, person: str) -> str | None:
        """The set of somebody by name or id; None where the split does not say, or there is none."""
        line = self.sets.get(person)
        return None if line is None else line.fields[1]

    def notes(self) -> list[str]:
        """How the split differs from the published one."""
        sizes = Counter(line.fields[1] for line in {id(line): line for line in self.sets.values()}.values())
        if not self.sets or sizes == Counter(PUBLISHED):
            return []
        found = "/".join(str(sizes[each]) for each in PUBLISHED)
        return [f"identity_splits.txt has {found} people; the published split has 901/100/250"]


def read_pins_lists(folder: Path) -> PinsLists:
    """All lists of the folder. Raises `EvaluationError`, naming file and line."""
    check_folder(folder)
    ids = _ids(folder)
    sets = _sets(folder, ids)
    found = PinsLists(
        folder=folder,
        verification=tuple(_verification(path) for path in listed(folder, f"{_VERIFICATION}*.txt")),
        matching=tuple(_matching(path) for path in listed(folder, f"{_MATCHING}*.csv")),
        sets=sets,
        ids=ids,
        clips=_members(folder, "wav_20k.csv", "wav"),
        faces=_members(folder, "jpg_20k.csv", "jpg"),
    )
    if not (found.verification or found.matching or found.sets):
        raise EvaluationError(
            f"lists {folder}: no {_VERIFICATION}*.txt, {_MATCHING}*.csv or identity_splits.txt for the protocol pins; "
            f"{DOCS}"
        )
    if bool(found.clips) != bool(found.faces):
        has, lacks = ("wav", "jpg") if found.clips else ("jpg", "wav")
        raise EvaluationError(f"lists {folder}: {has}_20k.csv without {lacks}_20k.csv; retrieval needs both or neither")
    return found


def _verification(path: Path) -> Verification:
    held, _, tested = path.stem.removeprefix(_VERIFICATION).rpartition("_")
    if tested not in (SEEN, UNSEEN) or not held:
        raise EvaluationError(f"list {path}: it is named neither *_{SEEN}.txt nor *_{UNSEEN}.txt; {DOCS}")
    header, *lines = lines_of(path, ",", len(HEADER))
    if header.fields != HEADER:
        raise EvaluationError(f"{header.where} is {','.join(header.fields)}; the header {','.join(HEADER)} is needed")
    trials = []
    for line in lines:
        key, speaker, shown, said, voice, face = line.fields
        check_path(line, voice, face)
        same = label(line, said)
        if same != (speaker == shown):
            other = "differ" if same else "are one"
            raise EvaluationError(f"{line.where}: label {said}, but speaker {speaker} and face {shown} {other}; {DOCS}")
        trials.append(Trial(line, key, voice, face, same))
    if len({trial.same for trial in trials}) < 2:
        raise EvaluationError(f"list {path}: its trials do not have both labels, 0 and 1; no error rate can be told")
    return Verification(held=held, seen=tested == SEEN, trials=tuple(unrepeated(trials)))


def _matching(path: Path) -> Matching:
    direction, _, name = path.stem.removeprefix(_MATCHING).partition("_")
    if direction not in ("v2f", "f2v"):
        raise EvaluationError(f"list {path}: it is named neither {_MATCHING}v2f_* nor {_MATCHING}f2v_*; {DOCS}")
    lines = lines_of(path, " ", None)
    width, seen = len(lines[0].fields), dict[tuple[str, ...], Line]()
    for line in lines:
        if len(line.fields) != width or not 3 <= width <= _MOST_CANDIDATES + 1:
            raise EvaluationError(
                f"{line.where} has {len(line.fields)} fields; all lines have the same number, a probe and 2 to "
                f"{_MOST_CANDIDATES} candidates, parted by blanks; {DOCS}"
            )
        for candidate in line.fields[1:]:
            check_path(line, *((line.fields[0], candidate) if direction == "v2f" else (candidate, line.fields[0])))
        before = seen.setdefault(line.fields, line)
        if before is not line:
            raise EvaluationError(f"{line.where} repeats line {before.number}; leave one of them out")
    return Matching(name=name, by_voice=direction == "v2f", lines=tuple(lines))


def _ids(folder: Path) -> dict[str, str]:
    found = {}
    for path in listed(folder, "vox1_meta.csv"):
        for line in lines_of(path, "\t", None)[1:]:
            if len(line.fields) < 2:
                raise EvaluationError(f"{line.where} has 1 field, where id and name are parted by tabs; {DOCS}")
            found[line.fields[1]] = line.fields[0]
    return found


def _sets(folder: Path, ids: Mapping[str, str]) -> dict[str, Line]:
    found: dict[str, Line] = {}
    for path in listed(folder, "identity_splits.txt"):
        for line in lines_of(path, " ", 2):
            name, chosen = line.fields
            if chosen not in PUBLISHED:
                raise EvaluationError(f"{line.where}: set {chosen!r}; 1 trains, 2 validates, 4 is unseen; {DOCS}")
            if name in found:
                raise EvaluationError(f"{line.where}: {name} stands in line {found[name].number}, too; leave one out")
            found[name] = line
    return found | {ids[name]: line for name, line in found.items() if name in ids}


def _members(folder: Path, name: str, column: str) -> tuple[Line, ...]:
    for path in listed(folder, name):
        header, *lines = lines_of(path, "\t", 2)
        if header.fields[1] != column:
            raise EvaluationError(f"{header.where}: the second column is {header.fields[1]!r}, not {column!r}; {DOCS}")
        seen: dict[str, Line] = {}
        for line in lines:
            before = seen.setdefault(line.fields[1], line)
            if before is not line:
                raise EvaluationError(f"{line.where} repeats line {before.number}; leave one of them out")
        return tuple(lines)
    return ()
