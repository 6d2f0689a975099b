"""From the tables of a build to samples: which portraits and utterances are in the dataset, and what is known of each.

A row of `portrait_rows` or `utterance_rows` has `key`, `split`, `part` and `members` (where its blobs lie in the
fragments), then the columns of `FACE_ROW` or `SPEECH_ROW`, which become the sidecar's. Only people with a split count:
those are the people who have both portraits and clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.errors import ShardError
from voxdata.fragments import MEMBER_TYPE, FragmentStore
from voxdata.schemas import FACE_VERDICTS, FACES, RENDERS, UTTERANCES, WHO, S
from voxdata.shards.write import Member, Sample

_KNOWN = ("name", "sex", "nationality")
_UNKNOWN: dict[str, str | None] = {"name": "", "sex": "unknown", "nationality": "unknown"}
_HEAD = [*WHO, *((name, S) for name in _KNOWN)]
_PLACE = [("key", S), ("split", S), ("part", S), ("members", pa.list_(MEMBER_TYPE))]
_NOT_IN_FACE_ROW = {*(name for name, _ in WHO), "item_id", "face_id", "photo_status", "embedding"}
_NOT_IN_SPEECH_ROW = {*(name for name, _ in WHO), "item_id", "utterance_id", "speech_status", "status_detail"}
_RENDERED = ("size_px", "scale", "outside_share", "person_share", "matting_backend", "matting_version", "format")

FACE_ROW = pa.schema(
    [
        *_HEAD,
        *(field for field in FACES if field.name not in _NOT_IN_FACE_ROW),
        *(FACE_VERDICTS.field(name) for name in ("quality", "rank")),
        *(RENDERS.field(name) for name in _RENDERED),
    ]
)
SPEECH_ROW = pa.schema(
    [*_HEAD, *(field for field in UTTERANCES if field.name not in _NOT_IN_SPEECH_ROW), ("holdout", pa.bool_())]
)


def portrait_rows(
    *, identities: pa.Table, faces: pa.Table, verdicts: pa.Table, renders: pa.Table, splits: pa.Table
) -> pa.Table:
    """Rows of the faces that are portraits; `renders` as `FragmentStore.read()` gives them.

    Raises `ShardError` for a portrait without a rendered file.
    """
    chosen = verdicts.filter(verdicts["portrait"])
    judged = {row["face_id"]: row for row in chosen.select(["face_id", "quality", "rank"]).to_pylist()}
    keys = pa.array(list(judged), S)
    measured = _by(faces.drop_columns(["embedding"]), "face_id", keys)
    rendered = _by(renders, "face_id", keys)
    _check_whole(judged, measured, rendered)
    known, split_of = _known(identities), _split_of(splits)
    rows = [
        {
            **(known.get(measured[key]["identity"], _UNKNOWN)),
            **rendered[key],
            **measured[key],
            **judged[key],
            **_place(key, split_of[measured[key]["person"]], rendered[key]),
        }
        for key in sorted(judged)
        if measured[key]["person"] in split_of
    ]
    return _table(rows, FACE_ROW)


def utterance_rows(
    *, identities: pa.Table, utterances: pa.Table, verdicts: pa.Table, holdouts: pa.Table, splits: pa.Table
) -> pa.Table:
    """Rows of the clips that are kept; `utterances` as `FragmentStore.read()` gives them.

    `holdout` is only ever true in the training split: the other splits are held out as a whole. Raises `ShardError` for a
    kept clip without mels.
    """
    chosen = verdicts.filter(pc.equal(verdicts["verdict"], "keep"))
    measured = _by(utterances, "item_id", chosen["item_id"])
    _check_whole(chosen["item_id"].to_pylist(), measured)
    known, split_of = _known(identities), _split_of(splits)
    held_out = dict(zip(*(holdouts[name].to_pylist() for name in ("utterance_id", "holdout")), strict=True))
    rows = [
        {
            **(known.get(row["identity"], _UNKNOWN)),
            **row,
            **_place(row["utterance_id"], split_of[row["person"]], row),
            "holdout": split_of[row["person"]] == "train" and held_out.get(row["utterance_id"], False),
        }
        for row in sorted(measured.values(), key=lambda row: str(row["utterance_id"]))
        if row["person"] in split_of
    ]
    return _table(rows, SPEECH_ROW)


def samples(rows: pa.Table, store: FragmentStore) -> Iterator[Sample]:
    """The rows as samples for `pack`; a blob is read from its fragment only when it is packed."""
    place = {name for name, _ in _PLACE}
    for row in rows.to_pylist():
        members = {member["suffix"]: _member(store, row["part"], member) for member in row["members"]}
        yield Sample(row["key"], members, {name: value for name, value in row.items() if name not in place})


def in_range(rows: pa.Table, split: str, first_bucket: int, last_bucket: int) -> pa.Table:
    """The rows of one split whose bucket is in a range, both ends included."""
    within = pc.and_(pc.greater_equal(rows["bucket"], first_bucket), pc.less_equal(rows["bucket"], last_bucket))
    return rows.filter(pc.and_(pc.equal(rows["split"], split), within))


def _member(store: FragmentStore, part: str, member: Mapping[str, Any]) -> Member:
    def load() -> bytes:
        return store.blob(part, member["offset"], member["size"])

    loader: Callable[[], bytes] = load
    return Member(loader, member["sha256"], member["size"])


def _by(table: pa.Table, column: str, wanted: pa.Array | pa.ChunkedArray) -> dict[str, dict[str, Any]]:
    """Rows whose `column` is in `wanted`, by it; an item that is in two parts counts once."""
    rows: dict[str, dict[str, Any]] = {}
    value_set = wanted.combine_chunks() if isinstance(wanted, pa.ChunkedArray) else wanted
    for row in table.filter(pc.is_in(table[column], value_set=value_set)).to_pylist():
        rows.setdefault(row[column], row)
    return rows


def _check_whole(chosen: Iterable[str], *tables: Mapping[str, Mapping[str, Any]]) -> None:
    for key in chosen:
        whole = all(key in table for table in tables) and bool(tables[-1][key].get("members"))
        if not whole:
            raise ShardError(f"{key} is chosen, but its fragment has no rows or no files; run the build again")


def _known(identities: pa.Table) -> dict[str, dict[str, Any]]:
    return {row.pop("identity"): row for row in identities.select(["identity", *_KNOWN]).to_pylist()}


def _split_of(splits: pa.Table) -> dict[str, str]:
    return dict(zip(splits["person"].to_pylist(), splits["split"].to_pylist(), strict=True))


def _place(key: str, split: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {"key": key, "split": split, "part": row["part"], "members": row["members"]}


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    wanted = pa.schema([*_PLACE, *schema])
    return pa.Table.from_pylist([{name: row.get(name) for name in wanted.names} for row in rows], schema=wanted)
