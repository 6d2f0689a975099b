"""Small datasets in the layouts of other projects, invented: noise for portraits, smooth noise for log-mels."""

from __future__ import annotations

import csv
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

AT = "2026-11-21T09:00:00Z"
PEOPLE = 12


def jpeg(seed: int, side: int = 32) -> bytes:
    sink = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(sink, "JPEG", quality=90)
    return sink.getvalue()


def mel(seed: int, bands: int = 40) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(F, T) in float64, T from 130 on."""
    rng = np.random.default_rng(seed)
    return 11 + 3 * rng.standard_normal((bands, 130 + seed % 50))


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def identity(number: int) -> str:
    """Odd people are of VoxCeleb2."""
    return f"id{10001 + number}" if number % 2 == 0 else f"id{1000 + number:05d}"


def name(number: int) -> str:
    return f"{'ABCDEFGHIJKLMNOP'[number]}._O'Person_Jr._{number}"


def hq_voxceleb(folder: Path, people: int = PEOPLE) -> Path:
    """Two portraits and three log-mels of everybody, as the released code lays them out."""
    for number in range(people):
        list_ = "vox1" if number % 2 == 0 else "vox2"
        for portrait in range(2):
            write(folder / list_ / "masked_faces" / name(number) / f"{portrait}.jpg", jpeg(10 * number + portrait))
        for clip in range(3):
            ids = {"spkid": identity(number), "clipid": f"v_{number}-x", "wavid": f"{clip:05d}"}
            content = {"LogMel_Features": mel(10 * number + clip), **ids}
            file = folder / list_ / "mel_spectrograms" / name(number) / f"{'_'.join(ids.values())}.pickle"
            write(file, pickle.dumps(content, 2))
    return folder


IN_BOTH_LISTS = (("vox1", "id10362", "Harry_Connick_Jr."), ("vox2", "id03347", "Harry_Connick,_Jr."))


def person_in_both_lists(folder: Path) -> tuple[Path, list[Path]]:
    """A person whom the shipped aliases merge, in row 1 of one table and row 9 of the other, and somebody else."""
    for number, (list_, id_, named) in enumerate([*IN_BOTH_LISTS, ("vox1", "id10001", "Ann_Ask")]):
        for item in range(3):
            write(folder / list_ / "masked_faces" / named / f"{item}.jpg", jpeg(10 * number + item))
            ids = {"spkid": id_, "clipid": f"v_{number}-{item}", "wavid": "00001"}
            content = {"LogMel_Features": mel(10 * number + item), **ids}
            file = folder / list_ / "mel_spectrograms" / named / f"{'_'.join(ids.values())}.pickle"
            write(file, pickle.dumps(content, 2))
    first = ["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet", "id10001\tAnn_Ask\tf\tNorway\tdev"]
    first += ["id10362\tHarry_Connick_Jr.\tm\tUSA\tdev"]
    second = ["VoxCeleb2 ID\tName\tGender\tSet", *(f"id0990{row}\tNobody_{row}\tf\tdev" for row in range(9))]
    second += ["id03347\tHarry_Connick,_Jr.\tm\tdev"]
    tables = [folder.parent / "one.csv", folder.parent / "two.csv"]
    for table, lines in zip(tables, (first, second), strict=True):
        write(table, "\n".join(lines).encode())
    return folder, tables


def voice2face(folder: Path, people: int = 4) -> Path:
    """VoxCeleb1 people by name and id, with a metadata table; log-mels lie with time first."""
    for number in range(people):
        for portrait in range(2):
            write(folder / "VGG_ALL_FRONTAL" / f"Person_{number}" / f"0000{portrait}.jpg", jpeg(number * 10 + portrait))
        sink = io.BytesIO()
        np.save(sink, mel(number, 64).T.astype(np.float32))
        write(folder / "fbank" / f"id{10001 + number}" / "video-1" / "00001.npy", sink.getvalue())
    return folder


def metadata(path: Path, people: int = 4) -> Path:
    """VoxCeleb1's table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set"])
        writer.writerows([f"id{10001 + n}", f"Person_{n}", "mf"[n % 2], "Norway", "dev"] for n in range(people))
    return path
