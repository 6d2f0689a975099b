"""The folders that the published code SF2F_PyTorch trains from.

    vox1|vox2/masked_faces/<Name>/<face>.jpg
    vox1|vox2/mel_spectrograms/<Name>/<id>_<video>_<segment>.pickle
    split.json

A pickle is a dictionary of `LogMel_Features` (F, T) in float64, `spkid`, `clipid` and `wavid`, in protocol 2, as the
code of 2022 reads it under Python 3.6. `split.json` names the people of train, val and test of either list and is
written last: a folder without it is not finished. Ids of VoxCeleb2 (id0…) go to vox2, everybody else to vox1. The code
normalises by the constants of psf40, its own front end. Clips that are held out of training have no place there and
are left out.
"""

from __future__ import annotations

import io
import json
import pickle
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxdata.dataset.opened import Dataset
from voxdata.exchange.attributions import write_attributions
from voxdata.exchange.export_target import claim_folder, portrait_of, shelves, whole
from voxdata.format.errors import ShardError, SnapshotError, StorageError
from voxdata.format.snapshot import SPLITS
from voxdata.people.identities import safe_key

FRONT_END = "psf40"
LISTS = ("vox1", "vox2")
PROTOCOL = 2
_FOLDER = re.compile(r"[^./\\\0][^/\\\0]{0,99}")
_CLIP = re.compile(r"[\w-]+")
Report = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What an export wrote."""

    folder: Path
    people: int
    portraits: int
    utterances: int
    held_out: int


def write_sf2f(
    dataset: Dataset, folder: str | Path, *, at: str, front_end: str | None = None, report: Report = lambda count: None
) -> Written:
    """Write the dataset's snapshot into a new folder. `report` hears of shards done.

    Raises `SnapshotError` where the snapshot has no psf40 and no other `front_end` is asked for, `StorageError` where
    the folder cannot be written.
    """
    chosen = _front_end(dataset, front_end)
    place = claim_folder(dataset, folder, at=at)
    names = folder_names(dataset)
    try:
        with whole(place):
            for list_ in LISTS:
                for kind in ("masked_faces", "mel_spectrograms"):
                    (place / list_ / kind).mkdir(parents=True)
            portraits = _write_faces(dataset, place, names, report)
            write_attributions(dataset, place)
            utterances, held_out = _write_mels(dataset, place, names, chosen, report)
            (place / "split.json").write_text(json.dumps(split_lists(dataset, names), indent=1), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror}; delete it and export again") from None
    people = len({str(where) for where in names.values()})
    return Written(folder=place, people=people, portraits=portraits, utterances=utterances, held_out=held_out)


def folder_names(dataset: Dataset) -> dict[str, Path]:
    """identity -> `vox1|vox2/<Name>`; by its id where it has no name, shares it, or the name is no folder's."""
    named = "SELECT DISTINCT identity, name FROM samples LEFT JOIN identities USING (identity) ORDER BY identity"
    places = {
        identity: Path(list_of(identity), _folder_name(identity, name))
        for identity, name in dataset.sql(named).fetchall()
    }
    taken = Counter(places.values())
    return {
        identity: place if taken[place] == 1 else place.with_name(f"{place.name}_{safe_key(identity)}")
        for identity, place in places.items()
    }


def list_of(identity: str) -> str:
    """The list that an identity belongs to."""
    return "vox2" if re.fullmatch(r"id0\d{4}", identity) else "vox1"


def split_lists(dataset: Dataset, names: Mapping[str, Path]) -> dict[str, dict[str, list[str]]]:
    """list -> split -> names, as the code's `split.json`."""
    found: dict[str, dict[str, list[str]]] = {list_: {split: [] for split in SPLITS} for list_ in LISTS}
    for identity, split in dataset.sql("SELECT DISTINCT identity, split FROM samples ORDER BY ALL").fetchall():
        found[names[identity].parts[0]][split].append(names[identity].name)
    return {list_: {split: sorted(of_split[split]) for split in SPLITS} for list_, of_split in found.items()}


def _front_end(dataset: Dataset, asked: str | None) -> str:
    chosen = asked or FRONT_END
    if chosen in dataset.snapshot.front_ends:
        return chosen
    there = ", ".join(sorted(dataset.snapshot.front_ends))
    if asked is not None:
        raise SnapshotError(f"--front-end {asked}: snapshot {dataset.id} has {there}")
    raise SnapshotError(
        f"snapshot {dataset.id} has {there}, and SF2F_PyTorch normalises {FRONT_END}; build with "
        f"--set speech.measure.front_ends=[{FRONT_END}], or take another one with --front-end"
    )


def _folder_name(identity: str, name: str | None) -> str:
    usable = name is not None and _FOLDER.fullmatch(name) and len(name.encode()) <= 200
    return str(name) if usable else safe_key(identity)


def _write_faces(dataset: Dataset, place: Path, names: Mapping[str, Path], report: Report) -> int:
    count = 0
    for shelf in shelves(dataset, "faces"):
        for row, members in shelf.samples():
            suffix, data = portrait_of(row["key"], members)
            where = names[row["identity"]]
            folder = place / where.parts[0] / "masked_faces" / where.name
            folder.mkdir(exist_ok=True)
            (folder / f"{row['key'].rpartition('/')[2]}.{suffix}").write_bytes(data)
            count += 1
        report(1)
    return count


def _write_mels(
    dataset: Dataset, place: Path, names: Mapping[str, Path], front_end: str, report: Report
) -> tuple[int, int]:
    count = held_out = 0
    for shelf in shelves(dataset, "speech"):
        for row, members in shelf.samples():
            if row.get("holdout"):
                held_out += 1
                continue
            where = names[row["identity"]]
            folder = place / where.parts[0] / "mel_spectrograms" / where.name
            folder.mkdir(exist_ok=True)
            (folder / _free_name(folder, row)).write_bytes(_pickled(row, members, front_end))
            count += 1
        report(1)
    return count, held_out


def _clip_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Speaker, video and segment; where a row has no video, `clip`."""
    segment = row.get("segment") or row["key"].rpartition("/")[2]
    return row["identity"], row.get("video") or "clip", segment


def _free_name(folder: Path, row: Mapping[str, Any]) -> str:
    """The name that the code gives a clip's file; where two clips would share it, that of the sample."""
    speaker, video, segment = (text if _CLIP.fullmatch(text) else safe_key(text) for text in _clip_of(row))
    name = f"{speaker}_{video}_{segment}.pickle"
    return f"{speaker}_{row['key'].rpartition('/')[2]}.pickle" if (folder / name).exists() else name


def _pickled(row: Mapping[str, Any], members: Mapping[str, bytes], front_end: str) -> bytes:
    if f"{front_end}.npy" not in members:
        raise ShardError(f"sample {row['key']} has no {front_end}.npy; it has {', '.join(sorted(members))}")
    mel_FT = np.load(io.BytesIO(members[f"{front_end}.npy"]), allow_pickle=False).astype(np.float64)
    speaker, video, segment = _clip_of(row)
    return pickle.dumps({"LogMel_Features": mel_FT, "spkid": speaker, "clipid": video, "wavid": segment}, PROTOCOL)
