"""Who is trained on and who is held out: a person is in one split, and stays there when other people are added.

Four rules. `leak-free` hashes the canonical person, so that someone who is in both VoxCeleb lists is on one side.
`paper` is the rule of the released SF2F code: the row of the metadata table mod 10, where 8 is test and 9 validation;
somebody who is in both VoxCeleb lists goes by the row of one of them. `released` is the split that came of it, identity
by identity: of the people whom the shipped aliases merge, five stand on two sides of it.
`vggface-vox1` is the rule of the voice2face line of work, by the first letter of the name: A and B are validation, C to
E test, the others training (of the 1,225 people of VoxCeleb1 in VGG-Face: 112, 189, 924; Wen et al. 2019, table 1).

Of training people, whole videos are held out for closed-set tests: two segments of one video share speaker, microphone,
room and hour, so that a test on one of them after training on the other asks little (`holdouts`).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from voxdata.format.errors import DecisionError
from voxdata.people.names import fold_name
from voxdata.recipe.sections import Splits
from voxdata.tables.schemas import HOLDOUTS, SPLITS

ANOTHER_RULE = "splits.rule=leak-free"  # it needs no table
_PAPER_REMAINDERS = {8: "test", 9: "val"}
_VGGFACE_LETTERS = {**dict.fromkeys("ab", "val"), **dict.fromkeys("cde", "test")}
# A file name such as 1zcIwhmdeo4_00001 or id10001-1zcIwhmdeo4-00001: the 11 letters of a YouTube id before a number.
_VIDEO_IN_NAME = re.compile(r"(?:.*[_.-])?(?P<video>[A-Za-z0-9_-]{11})[_.-]\d+(?:[.-]\d+)*")
_KINDS_OF_LETTERS = (str.islower, str.isupper, str.isdigit)


def assign(identities: pa.Table, settings: Splits) -> pa.Table:
    """Give every person in `identities` (`schemas.IDENTITIES`) a split; the result is `schemas.SPLITS` by person.

    Under `released` it has a row per identity instead: a person may be in two splits. Under `paper` and `vggface-vox1`,
    a person with several identities goes by the row or name of the canonical one, else by that of the first. Raises
    `DecisionError` where they meet a person without a row, or without a name.
    """
    if settings.rule == "released":
        known = identities.select(["identity", "person", "metadata_row"]).to_pylist()
        rows = [row | {"split": _paper_split(row["identity"], row["metadata_row"], settings.rule)} for row in known]
        return pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["identity"])), schema=SPLITS)
    if settings.rule == "paper":
        chosen = {person: _paper_split(person, row) for person, row in _of_person(identities, "metadata_row").items()}
    elif settings.rule == "vggface-vox1":
        chosen = {person: _letter_split(person, name) for person, name in _of_person(identities, "name").items()}
    else:
        chosen = {person: _hashed_split(person, settings) for person in identities["person"].to_pylist()}
    rows = [{"identity": None, "person": person, "split": chosen[person]} for person in sorted(chosen)]
    return pa.Table.from_pylist(rows, schema=SPLITS)


def split_of_identities(identities: pa.Table, chosen: pa.Table) -> dict[str, str]:
    """identity -> split, by `schemas.IDENTITIES` and `schemas.SPLITS` of any rule; who has none is left out."""
    of_person: dict[str, str] = {}
    of_identity: dict[str, str] = {}
    for row in chosen.to_pylist():
        if row.get("identity") is None:
            of_person[row["person"]] = row["split"]
        else:
            of_identity[row["identity"]] = row["split"]
    who = zip(identities["identity"].to_pylist(), identities["person"].to_pylist(), strict=True)
    found = {identity: of_identity.get(identity, of_person.get(person)) for identity, person in who}
    return {identity: split for identity, split in found.items() if split is not None}


def holdouts(clips: Iterable[Mapping[str, Any]], settings: Splits) -> pa.Table:
    """Mark a hashed share of the clips of training people for closed-set tests: `schemas.HOLDOUTS` by utterance.

    A clip is a mapping of `utterance_id`, `person`, `video` (None where no folder stands for one) and `segment`. By
    video, all clips of a video are on one side (`session`); of each person the video with the greatest hash is always
    trained on, so that somebody with one video has no clip held out. By clip, as version 0.1 drew them, segments of one
    video stand on both sides, and each identity (the folder of an utterance id) keeps one clip.
    """
    whose: dict[str, str] = {}
    drawn: dict[str, float] = {}
    for clip in clips:
        name = clip["utterance_id"]
        by_clip = settings.holdout_by == "clip"
        whose[name] = name.rpartition("/")[0] if by_clip else clip["person"]
        drawn[name] = hashed_share(settings.salt, name if by_clip else session(clip))
    kept: dict[str, float] = {}
    for name, share in drawn.items():
        kept[whose[name]] = max(share, kept.get(whose[name], 0.0))
    rows = [
        {"utterance_id": name, "holdout": drawn[name] < min(settings.holdout_share, kept[whose[name]])}
        for name in sorted(drawn)
    ]
    return pa.Table.from_pylist(rows, schema=HOLDOUTS)


def session(clip: Mapping[str, Any]) -> str:
    """The recording that a clip was cut from: its person and video folder, else the video that its file is named after,
    else the file itself (without suffix: `a.m4a` beside `a.wav` are one recording)."""
    video = clip["video"]
    if not video:
        match = _VIDEO_IN_NAME.fullmatch(clip["segment"] or "")
        mixed = match and sum(any(map(kind, match["video"])) for kind in _KINDS_OF_LETTERS) > 1
        video = match["video"] if match and mixed else clip["segment"]
    return f"{clip['person']}/{video}"


def hashed_share(salt: str, name: str) -> float:
    """A number in [0, 1) that depends on nothing but the salt and the name."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{name}".encode()).digest()[:6], "big") / 2**48


def shares_for_all(people: Iterable[str], settings: Splits) -> tuple[float, float] | None:
    """The least val and test shares, in hundredths and not below those of `settings`, that leave no split of the
    leak-free rule empty; None where there are none for these people."""
    drawn = sorted(hashed_share(settings.salt, person) for person in people)
    if len(drawn) < 3:
        return None
    test = max(settings.test_share, _above(drawn[0]))
    rest = [share for share in drawn if share >= test]
    if not rest:
        return None
    val = max(settings.val_share, _above(rest[0] - test))
    return (val, test) if rest[-1] >= test + val and val + test < 1 else None


def _above(share: float) -> float:
    """The next hundredth above."""
    return (math.floor(share * 100) + 1) / 100


def _hashed_split(person: str, settings: Splits) -> str:
    share = hashed_share(settings.salt, person)
    if share < settings.test_share:
        return "test"
    return "val" if share < settings.test_share + settings.val_share else "train"


def _of_person(identities: pa.Table, column: str) -> dict[str, Any]:
    """What the metadata say of each person: of the canonical identity, else of the first that has it."""
    found: dict[str, Any] = {}
    named = identities.select(["identity", "person", column]).to_pylist()
    for entry in sorted(named, key=lambda entry: (entry["identity"] != entry["person"], entry["identity"])):
        person = entry["person"]
        if found.get(person) is None:
            found[person] = entry[column]
    return found


def _paper_split(person: str, row: int | None, rule: str = "paper") -> str:
    if row is None:
        raise DecisionError(
            f"splits.rule = {rule}: {person} has no row in the metadata tables and the rule is that row mod 10; "
            f"build again with the table that has it, --set sources.metadata.path=FILE, or go by --set {ANOTHER_RULE}",
            relax=ANOTHER_RULE,
        )
    return _PAPER_REMAINDERS.get(row % 10, "train")


def _letter_split(person: str, name: str | None) -> str:
    first = fold_name(name or "")[:1]
    if not first:
        raise DecisionError(
            f"splits.rule = vggface-vox1: {person} has no name in the metadata tables and the rule is its first "
            f"letter; build again with the table that has it, --set sources.metadata.path=FILE, or go by "
            f"--set {ANOTHER_RULE}",
            relax=ANOTHER_RULE,
        )
    return _VGGFACE_LETTERS.get(first, "train")
