"""Who is trained on and who is held out: a person is in one split, and stays there when other people are added.

Two rules. `leak-free` hashes the canonical person, so that someone who is in both VoxCeleb lists is on one side.
`paper` is the rule of the released SF2F code: the row of the metadata table mod 10, where 8 is test and 9 validation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pyarrow as pa

from voxdata.errors import DecisionError
from voxdata.recipe import Splits
from voxdata.schemas import HOLDOUTS, SPLITS

_PAPER_REMAINDERS = {8: "test", 9: "val"}


def assign(identities: pa.Table, settings: Splits) -> pa.Table:
    """Give every person in `identities` (`schemas.IDENTITIES`) a split; the result is `schemas.SPLITS` by person.

    Under `paper`, a person with several rows goes by the row of the canonical identity, else by that of the first
    identity. Raises `DecisionError` where `paper` meets a person without a metadata row.
    """
    if settings.rule == "paper":
        chosen = {person: _paper_split(person, row) for person, row in _metadata_rows(identities).items()}
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


def _metadata_rows(identities: pa.Table) -> dict[str, int | None]:
    rows: dict[str, int | None] = {}
    named = identities.select(["identity", "person", "metadata_row"]).to_pylist()
    for entry in sorted(named, key=lambda entry: (entry["identity"] != entry["person"], entry["identity"])):
        person = entry["person"]
        if rows.get(person) is None:
            rows[person] = entry["metadata_row"]
    return rows


def _paper_split(person: str, row: int | None) -> str:
    if row is None:
        raise DecisionError(
            f"splits.rule = paper: {person} has no row in the metadata tables and the rule is that row mod 10; "
            "name the table with --set sources.metadata.path=FILE, or build with --set splits.rule=leak-free"
        )
    return _PAPER_REMAINDERS.get(row % 10, "train")
