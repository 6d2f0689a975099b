"""A folder that Hugging Face `datasets` loads: `load_dataset(FOLDER, "faces")` and `load_dataset(FOLDER, "speech")`.

    faces/train-00000-of-00003.parquet      image (bytes as they are), who it is, every measurement
    speech/train-00000-of-00003.parquet     mel_<front end> (T, F) float16, who it is, every measurement; where shards
                                            hold sound, audio (FLAC bytes as they are)
    attributions.csv                        who is to be named for each portrait, where a source says so
    croissant.json                          the same files as Croissant metadata
    README.md                               the datasheet, with the header that names the files; written last

A Parquet file is a shard, so a person is in one split. `datasets` calls the split val `validation`. Its arrays grow in
the first dimension, so log-mels have time first here. Everything can be read with any Parquet reader.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from voxdata.dataset.opened import Dataset
from voxdata.exchange.attributions import write_attributions
from voxdata.exchange.croissant import DataFile, Table, croissant
from voxdata.exchange.datasheet import datasheet
from voxdata.exchange.export_facts import Facts, audio_part, facts_of
from voxdata.exchange.export_target import Shelf, claim_folder, portrait_of, shelves, whole
from voxdata.format.digests import file_sha256
from voxdata.format.errors import ShardError, StorageError
from voxdata.format.sidecar import SIDECAR, SOUND, read_sidecar
from voxdata.format.snapshot import SPLITS, Kind
from voxdata.speech.decode import SAMPLE_RATE_HZ

KINDS: tuple[Kind, ...] = ("faces", "speech")
SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
ROWS_PER_GROUP = 100
FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # what `datasets` decodes as image and audio
MEL = pa.list_(pa.list_(pa.float16()))
_PLACES = frozenset(name for name, _ in SIDECAR) - {"key", "split"} | {"format"}
_DTYPES = {pa.string(): "string", pa.bool_(): "bool", pa.int32(): "int32", pa.int64(): "int64"} | {
    pa.float32(): "float32",
    pa.float64(): "float64",
}
Report = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What an export wrote; `files` are relative to `folder`."""

    folder: Path
    files: Sequence[DataFile]


def write_parquet(dataset: Dataset, folder: str | Path, *, at: str, report: Report = lambda count: None) -> Written:
    """Write the dataset's snapshot into a new folder. `report` hears of shards done.

    Raises `SnapshotError` where somebody in it opted out since, `StorageError` where the folder cannot be written.
    """
    place = claim_folder(dataset, folder, at=at)
    try:
        with whole(place):
            return _written(dataset, place, report)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror}; delete it and export again") from None


def _written(dataset: Dataset, place: Path, report: Report) -> Written:
    facts = facts_of(dataset)
    tables = [table for kind in KINDS if (table := _write_kind(dataset, kind, place, facts, report)) is not None]
    write_attributions(dataset, place)
    metadata = croissant(facts, tables)
    (place / "croissant.json").write_text(json.dumps(metadata, indent=1, ensure_ascii=False), encoding="utf-8")
    (place / "README.md").write_text(f"{_header(facts, tables)}\n{datasheet(facts)}", encoding="utf-8")
    return Written(folder=place, files=[file for table in tables for file in table.files])


def _write_kind(dataset: Dataset, kind: Kind, place: Path, facts: Facts, report: Report) -> Table | None:
    """Write the Parquet files of one kind; None where the snapshot has none."""
    if not dataset.shards(kind):
        return None
    schema = _schema(dataset, kind)
    files = []
    (place / kind).mkdir()
    for split in SPLITS:
        total = len(dataset.shards(kind, split))
        for number, shelf in enumerate(shelves(dataset, kind, split)):
            name = f"{kind}/{SPLIT_NAMES[split]}-{number:05d}-of-{total:05d}.parquet"
            _write_shard(shelf, kind, schema, place / name)
            files.append(_data_file(place, name))
            report(1)
    heard = "Sound and log-mels" if facts.audio_part is not None else "Log-mels"
    about = "Portraits" if kind == "faces" else f"{heard} of utterances"
    return Table(id=kind, about=f"{about} of {facts.name}, a row each", schema=schema, files=files)


def _schema(dataset: Dataset, kind: Kind) -> pa.Schema:
    """Columns of a kind, with what `datasets` reads about them in the metadata."""
    (first, *_) = dataset.shards(kind)
    sidecar = read_sidecar(dataset.storage, first.sidecar).schema
    columns = [(field.name, field.type) for field in sidecar if field.name not in _PLACES]
    features: dict[str, Any] = {name: {"dtype": _DTYPES[type_], "_type": "Value"} for name, type_ in columns}
    data: list[tuple[str, pa.DataType]] = []
    if kind == "faces":
        data, features["image"] = [("image", FILE)], {"_type": "Image"}
    if kind == "speech" and audio_part(dataset.snapshot) is not None:
        data, features["audio"] = [("audio", FILE)], {"sampling_rate": SAMPLE_RATE_HZ, "_type": "Audio"}
    for name, said in sorted(dataset.snapshot.front_ends.items()) if kind == "speech" else ():
        data.append((f"mel_{name}", MEL))
        features[f"mel_{name}"] = {"shape": [None, said["n_mels"]], "dtype": "float16", "_type": "Array2D"}
    info = {"info": {"features": {name: features[name] for name, _ in [*data, *columns]}}}
    return pa.schema([*data, *columns], metadata={"huggingface": json.dumps(info)})


def _write_shard(shelf: Shelf, kind: Kind, schema: pa.Schema, path: Path) -> None:
    samples = shelf.samples()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(samples, ROWS_PER_GROUP)):
            columns = [_column(kind, field, group) for field in schema]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=ROWS_PER_GROUP)


def _column(kind: Kind, field: pa.Field, group: Sequence[tuple[dict[str, Any], dict[str, bytes]]]) -> pa.Array:
    if kind == "faces" and field.name == "image":
        return pa.array(list(_images(group)), FILE)
    if kind == "speech" and field.type == FILE:
        return pa.array([_file(row["key"], SOUND, members.get(SOUND)) for row, members in group], FILE)
    if kind == "speech" and field.type == MEL:
        suffix = f"{field.name.removeprefix('mel_')}.npy"
        return _mels([_mel_of(row["key"], members, suffix) for row, members in group])
    return pa.array([row.get(field.name) for row, _ in group], field.type)


def _images(group: Sequence[tuple[dict[str, Any], dict[str, bytes]]]) -> Iterator[dict[str, Any] | None]:
    for row, members in group:
        suffix, data = portrait_of(row["key"], members)
        yield _file(row["key"], suffix, data)


def _file(key: str, suffix: str, data: bytes | None) -> dict[str, Any] | None:
    return None if data is None else {"bytes": data, "path": f"{key.replace('/', '_')}.{suffix}"}


def _mel_of(key: str, members: dict[str, bytes], suffix: str) -> bytes:
    if suffix not in members:
        raise ShardError(f"sample {key} has no {suffix}; it has {', '.join(sorted(members))}; run: voxdata verify")
    return members[suffix]


def _mels(files: Sequence[bytes]) -> pa.Array:
    """Arrays (F, T) in `.npy` as lists of T lists of F numbers."""
    mels_TF = [np.load(io.BytesIO(data), allow_pickle=False).T for data in files]
    bands = mels_TF[0].shape[1]
    frames = np.cumsum([0, *(len(mel) for mel in mels_TF)])
    numbers = pa.array(np.concatenate([mel.ravel() for mel in mels_TF]), pa.float16())
    rows = pa.ListArray.from_arrays(pa.array(np.arange(frames[-1] + 1) * bands, pa.int32()), numbers)
    return pa.ListArray.from_arrays(pa.array(frames, pa.int32()), rows)


def _data_file(place: Path, name: str) -> DataFile:
    return DataFile(
        path=name,
        sha256=file_sha256(place / name),
        size_bytes=(place / name).stat().st_size,
        mime="application/x-parquet",
    )


def _header(facts: Facts, tables: Sequence[Table]) -> str:
    """The YAML between two lines of dashes from which `datasets` learns which file is what."""
    configs = []
    for table in tables:
        splits = [
            {"split": named, "path": f"{table.id}/{named}-*.parquet"}
            for named in SPLIT_NAMES.values()
            if any(file.path.startswith(f"{table.id}/{named}-") for file in table.files)
        ]
        configs.append({"config_name": table.id, "data_files": splits})
    content = {"pretty_name": facts.name, "tags": ["face", "speech", "croissant"], "configs": configs}
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---\n"
