"""Write a simulated corpus to a folder, in VoxCeleb1's layout, with the truth of every file.

    photos/<id>/<nn>.jpg                    photos, some of them not what they should be
    wav/<id>/<video>/<segment>.wav          speech, some of it broken
    vox1_meta.csv                           tab-separated, VoxCeleb1's columns (`META_HEADER`) and one of the paint's
    people.parquet                          every factor of every person
    truth.parquet                           one row per photo and clip (`TRUTH`); written last
    corpus.json                             the settings; written first

The same settings give the same bytes on any number of workers (one machine type, one version of cv2 and numpy).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.parquet as pq

from voxdata.format.errors import SourceError, StorageError
from voxdata.simulate.clips import make_clip
from voxdata.simulate.palette import skin_tone_deg
from voxdata.simulate.people import SimulatedPerson, draw_people
from voxdata.simulate.photos import make_photo
from voxdata.simulate.settings import CorpusSettings
from voxdata.store.worker_pools import refused_workers_said

__all__ = ["TRUTH", "CorpusSettings", "write_corpus"]

Progress = Callable[[int, int], None]

META_HEADER = ("VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set", "Skin tone deg")
TEST_EVERY = 31  # VoxCeleb1 has 40 test people among 1,251
TRUTH = pa.schema(
    [
        ("path", pa.string()),
        ("identity", pa.string()),  # whose folder the file lies in
        ("medium", pa.string()),  # photo | clip
        ("kind", pa.string()),  # plain, or what was done to it: settings.PHOTO_KINDS, settings.CLIP_KINDS
        ("shown_identity", pa.string()),  # whose face (the largest) or voice it holds; null without one
        ("copy_of", pa.string()),  # path of the original of a duplicate
        ("damage", pa.string()),  # of a broken clip: text | empty | half
        ("people", pa.int32()),  # faces in the photo
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("yaw_deg", pa.float64()),  # > 0: the nose points to the left of the image
        ("pitch_deg", pa.float64()),  # > 0: up
        ("roll_deg", pa.float64()),  # > 0: clockwise
        ("smile", pa.float64()),
        ("mouth_open", pa.float64()),
        ("light_azimuth_deg", pa.float64()),
        ("light_contrast", pa.float64()),
        ("background", pa.string()),
        ("pupil_left_x_px", pa.float64()),
        ("pupil_left_y_px", pa.float64()),
        ("pupil_right_x_px", pa.float64()),
        ("pupil_right_y_px", pa.float64()),
        ("pupil_distance_px", pa.float64()),
        ("duration_s", pa.float64()),
        ("size_bytes", pa.int64()),
        ("sha256", pa.string()),
    ]
)


def write_corpus(
    folder: str | Path, settings: CorpusSettings, *, workers: int = 1, progress: Progress | None = None
) -> pa.Table:
    """Write the corpus and return its truth (`TRUTH`). A finished corpus of the same settings is left as it is.

    `progress(done, total)` is told after every person. Raises `SourceError` when the folder holds something else,
    `StorageError` when it cannot be written, `BackendError` where no worker processes can be started.
    """
    folder = Path(folder)
    try:
        if _is_finished(folder, settings):
            return pq.read_table(folder / "truth.parquet")
        people = draw_people(settings.people, seed=settings.seed, link=settings.link)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "corpus.json").write_text(_settings_json(settings))
        (folder / "vox1_meta.csv").write_text(_metadata(people), encoding="utf-8")
        (folder / "people.parquet").write_bytes(_parquet(pa.Table.from_pylist([_factors(one) for one in people])))
        rows = list(_write_people(folder, settings, workers, progress))
        truth = pa.Table.from_pylist(rows, schema=TRUTH)
        (folder / "truth.parquet").write_bytes(_parquet(truth))
    except OSError as error:
        raise StorageError(f"corpus folder {folder}: {error.strerror or error}; choose another folder") from error
    return truth


def _is_finished(folder: Path, settings: CorpusSettings) -> bool:
    """Whether the same corpus is there, complete. Raises `SourceError` when something else is."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    marker = folder / "corpus.json"
    if not marker.is_file() or marker.read_text() != _settings_json(settings):
        what = "a corpus of other settings" if marker.is_file() else "something that is not a simulated corpus"
        raise SourceError(f"corpus folder {folder} holds {what}; choose an empty folder, or remove this one")
    return (folder / "truth.parquet").is_file()


def _write_people(
    folder: Path, settings: CorpusSettings, workers: int, progress: Progress | None
) -> Iterator[dict[str, Any]]:
    def told(results: Iterable[list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
        for done, rows in enumerate(results, start=1):
            yield from rows
            if progress is not None:
                progress(done, settings.people)

    indices = range(settings.people)
    if workers <= 1:
        yield from told(_write_person(folder, settings, index) for index in indices)
        return
    with refused_workers_said():
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    with pool:
        with refused_workers_said():
            made = pool.map(_write_person, [folder] * len(indices), [settings] * len(indices), indices)
        yield from told(made)


def _start_worker() -> None:
    cv2.setNumThreads(1)


def _write_person(folder: Path, settings: CorpusSettings, index: int) -> list[dict[str, Any]]:
    rows = []
    made = [make_photo(settings, index, number) for number in range(settings.photos_per_person)]
    made += [make_clip(settings, index, number) for number in range(settings.clips_per_person)]
    for file in made:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
        digest = hashlib.sha256(file.data).hexdigest()
        rows.append({**file.truth, "size_bytes": len(file.data), "sha256": digest})
    return rows


def _metadata(people: list[SimulatedPerson]) -> str:
    lines = [META_HEADER]
    for row, person in enumerate(people):
        published_set = "test" if row % TEST_EVERY == TEST_EVERY - 1 else "dev"
        said = (person.identity, person.name, person.sex, person.nationality, published_set)
        lines.append((*said, f"{skin_tone_deg(person.face):.1f}"))
    return "".join("\t".join(cells) + "\n" for cells in lines)


def _factors(person: SimulatedPerson) -> dict[str, Any]:
    row: dict[str, Any] = {"identity": person.identity, "name": person.name, "sex": person.sex}
    row |= {f"voice_{name}": value for name, value in asdict(person.voice).items()}
    row |= {f"face_{name}": value for name, value in asdict(person.face).items()}
    return row


def _settings_json(settings: CorpusSettings) -> str:
    return json.dumps(settings.as_dict(), indent=1, sort_keys=True) + "\n"


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()
