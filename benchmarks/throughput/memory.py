"""Resident memory of one worker over many photos, and how often the workers of a build load their models."""

from __future__ import annotations

import io
import os
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, Section
from PIL import Image

from throughput.photos import item
from voxdata.faces import measure
from voxdata.faces.detect.mediapipe_wheel import MediapipeLandmarker
from voxdata.faces.measures.embedding import Embedder
from voxdata.faces.measures.emotion import EmotionNet
from voxdata.pipeline.processes import prepare_worker
from voxdata.recipe.faces import FaceMeasure
from voxdata.store.items import PhotoItem

MUST_MB = 1000.0
FLAT_MB = 20.0  # of growth after the first fifth of the photos
BATCH = 50  # photos per part
WORKERS, TASKS = 2, 8
SMALL_PX = (512, 512)
LARGEST_PX = (6245, 8093)  # of the paper's crawl (SF2F, App. B.1, data collection)
MODELS = (MediapipeLandmarker, Embedder, EmotionNet)
MB = 1 << 20
PAGE = resource.getpagesize()

_loads: dict[str, int] = {}  # model -> times that this worker process built it

Photo = tuple[bytes, str, str]  # bytes, person, name: what travels to a worker
Row = dict[str, Any]


def memory(items: Sequence[PhotoItem], settings: FaceMeasure, count: int) -> Section:
    """Resident memory of one worker process over `count` photos, which are `items` again and again."""
    limit_px = (8_000, int(settings.max_photo_megapixels * 125))
    largest = {}
    with _pool(1) as pool:
        samples = pool.submit(_resident_over, _photos(items), settings, count).result()
    for size in (SMALL_PX, LARGEST_PX, limit_px):
        with _pool(1) as pool:  # a worker each, so that every peak is its own photo's
            largest[size] = pool.submit(_peak_after, *size, settings).result()
    settled = [row["resident MB"] for row in samples if row["photos"] > count / 5]
    half = len(settled) // 2
    growth = float(np.median(settled[half:]) - np.median(settled[:half]))
    peak = max(row["peak MB"] for row in samples)
    return Section(
        title=f"one worker over {count} photos, landmarks, embeddings and emotions as the settings have them",
        figures=[
            Figure(name="peak resident memory, MB", value=peak, n=count, must=MUST_MB),
            Figure(name="growth from one half to the other after warming up, MB", value=growth, n=count, must=FLAT_MB),
            *(
                Figure(name=f"peak with a photo of {width}x{height} px, MB", value=peak_mb, n=1, must=MUST_MB)
                for (width, height), peak_mb in largest.items()
            ),
        ],
        tables={"Resident memory": samples},
    )


def workers(items: Sequence[PhotoItem], settings: FaceMeasure) -> Section:
    """Tasks over a pool of worker processes: which models each process built, and what its tasks cost."""
    with _pool(WORKERS) as pool:
        done = list(pool.map(_task, [_photos(items)] * TASKS, [settings] * TASKS))
    table: list[Row] = []
    for worker in sorted({row["worker"] for row in done}):
        own = [row for row in done if row["worker"] == worker]
        later = [row["CPU s"] for row in own[1:]]
        table.append(
            {
                "worker": len(table) + 1,
                "tasks": len(own),
                **{model.__name__: max(row["loads"].get(model.__name__, 0) for row in own) for model in MODELS},
                "first task, CPU s": own[0]["CPU s"],
                "later tasks, CPU s": float(np.median(later)) if later else "",
                "resident MB": own[-1]["resident MB"],
            }
        )
    most = max(row[model.__name__] for row in table for model in MODELS)
    return Section(
        title=f"{TASKS} tasks of {len(items)} photos on {WORKERS} worker processes",
        figures=[Figure(name="most often that a process built one model", value=most, n=len(done), must=1)],
        tables={"Models built, per process": table},
    )


def _pool(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(os.getpid(),)
    )


def _start_worker(parent: int) -> None:
    prepare_worker(parent)
    for model in MODELS:
        model.__init__ = _counted(model.__name__, model.__init__)  # type: ignore[method-assign]


def _counted(name: str, build: Callable[..., None]) -> Callable[..., None]:
    def init(*arguments: Any, **named: Any) -> None:
        _loads[name] = _loads.get(name, 0) + 1
        build(*arguments, **named)

    return init


def _task(photos: list[Photo], settings: FaceMeasure) -> Row:
    start = time.process_time()
    measure.run([item(*photo) for photo in photos], settings)
    spent = time.process_time() - start
    return {"worker": os.getpid(), "loads": dict(_loads), "CPU s": spent, "resident MB": _resident_mb()}


def _resident_over(photos: list[Photo], settings: FaceMeasure, count: int) -> list[Row]:
    samples = []
    for start in range(0, count, BATCH):
        batch = [item(*photos[at % len(photos)]) for at in range(start, min(start + BATCH, count))]
        measure.run(batch, settings)
        done = start + len(batch)
        if done % (count // 20) < BATCH:
            samples.append({"photos": done, "resident MB": _resident_mb(), "peak MB": _peak_mb()})
    return samples


def _peak_after(width: int, height: int, settings: FaceMeasure) -> float:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (120, 90, 70)).save(file, "JPEG")
    measure.run([item(file.getvalue(), "large", f"{width}x{height}")], settings)
    return _peak_mb()


def _photos(items: Sequence[PhotoItem]) -> list[Photo]:
    return [(each.data(), str(each.row["person"]), str(each.row["item_id"])) for each in items]


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / MB


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
