"""Who is trained on and who is held out: a person is in one split, and stays there when other people are added.

Three rules. `leak-free` hashes the canonical person, so that someone who is in both VoxCeleb lists is on one side.
`paper` is the rule of the released SF2F code: the row of the metadata table mod 10, where 8 is test and 9 validation.
`vggface-vox1` is the rule of the voice2face line of work, by the first letter of the name: A and B are validation, C to
E test, the others training (of the 1,225 people of VoxCeleb1 in VGG-Face: 112, 189, 924; Wen et al. 2019, table 1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from voxdata.format.errors import DecisionError
from voxdata.people.names import fold_name
from voxdata.recipe.sections import Splits
from voxdata.tables.schemas import HOLDOUTS, SPLITS

_PAPER_REMAINDERS = {8: "test", 9: "val"}
_VGGFACE_LETTERS = {**dict.fromkeys("ab", "val"), **dict.fromkeys("cde", "test")}


def assign(identities: pa.Table, settings: Splits) -> pa.Table:
    """Give every person in `identities` (`schemas.IDENTITIES`) a split; the result is `schemas.SPLITS` by person.

    Under `paper` and `vggface-vox1`, a person with several identities goes by the row or name of the canonical one,
    else by that of the first. Raises `DecisionError` where they meet a person without a row, or without a name.
    """
    if settings.rule == "paper":
        chosen = {person: _paper_split(person, row) for person, row in _of_person(identities, "metadata_row").items()}
    elif settings.rule == "vggface-vox1":
        chosen = {person: _letter_split(person, name) for person, name in _of_person(identities, "name").items()}
    else:
        chosen = {person: _hashed_split(person, settings) for person in identities["person"].to_pylist()}
    rows = [{"person": person, "split": chosen[person]} for person in sorted(chosen)]
    return pa.Table.from_pylist(rows, schema=SPLITS)


def holdouts(utterance_ids: Iterable[str], settings: Splits) -> pa.Table:
    """Mark a hashed share of the clips for closed-set tests; the result is `schemas.HOLDOUTS` by utterance.

    An identity (the folder of an utterance id) always keeps one clip to train on: the one with the greatest hash.
    """
    shares = {name: hashed_share(settings.salt, name) for name in utterance_ids}
    kept: dict[str, float] = {}
    for name, share in shares.items():
        identity = name.rpartition("/")[0]
        kept[identity] = max(share, kept.get(identity, 0.0))
    rows = [
        {"utterance_id": name, "holdout": shares[name] < min(settings.holdout_share, kept[name.rpartition("/")[0]])}
        for name in sorted(shares)
    ]
    return pa.Table.from_pylist(rows, schema=HOLDOUTS)


def hashed_share(salt: str, name: str) -> float:
    """A number in [0, 1) that depends on nothing but the salt and the name."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{name}".encode()).digest()[:6], "big") / 2**48


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


def _paper_split(person: str, row: int | None) -> str:
    if row is None:
        raise DecisionError(
            f"splits.rule = paper: {person} has no row in the metadata tables and the rule is that row mod 10; "
            "name the table with --set sources.metadata.path=FILE, or build with --set splits.rule=leak-free"
        )
    return _PAPER_REMAINDERS.get(row % 10, "train")


def _letter_split(person: str, name: str | None) -> str:
    first = fold_name(name or "")[:1]
    if not first:
        raise DecisionError(
            f"splits.rule = vggface-vox1: {person} has no name in the metadata tables and the rule is its first "
            "letter; name the table with --set sources.metadata.path=FILE, or build with --set splits.rule=leak-free"
        )
    return _VGGFACE_LETTERS.get(first, "train")
