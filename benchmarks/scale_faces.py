"""The dataset-wide stages of faces at full size, for `catalog_scale.py`: link and decide."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from figures import Figure, Section
from scale_data import ScaleData
from scale_prints import drawn
from scale_root import RECIPE, peak_gb, rendered

from voxdata.faces.decide import decide
from voxdata.faces.link import link

REPEATS = 3


def decide_faces(scale: float, folder: Path) -> Section:
    """Thresholds, rank, cap and minimum of every face, the second time with renders, as a build decides."""
    data = ScaleData(scale)
    faces, links = data.faces(), data.links()
    renders = rendered(faces.filter(decide(faces, links, RECIPE.faces)["candidate"]))
    times, cpus = [], []
    for _ in range(REPEATS):
        started, cpu = time.perf_counter(), time.process_time()
        verdicts = decide(faces, links, RECIPE.faces, renders=renders)
        times.append(time.perf_counter() - started)
        cpus.append(time.process_time() - cpu)
    portraits = int(np.count_nonzero(verdicts["portrait"].to_numpy()))
    return Section(
        title="Decide",
        figures=[Figure(name="decide, s", value=min(times), n=REPEATS, must=5, stretch=1.5)],
        notes=[f"{faces.num_rows} faces, {portraits} portraits; {min(cpus):.1f} s of CPU."],
    )


def link_photos(scale: float, folder: Path) -> Section:
    """Duplicate clusters and agreement with the person's centroid, of embeddings of 128 numbers and drawn prints."""
    faces, what = _embedded(ScaleData(scale))
    before = peak_gb()
    started, cpu = time.perf_counter(), time.process_time()
    linked = link(faces, RECIPE.faces.link)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    clusters = int(np.count_nonzero(linked["cluster_photos"].to_numpy() > 1))
    return Section(
        title="Link",
        figures=[
            Figure(name="link, minutes", value=seconds / 60, n=1, must=10, stretch=3),
            Figure(name="peak memory, GB", value=peak_gb(), n=1, must=8),
        ],
        notes=[
            f"{linked.num_rows} faces, {clusters} of them in clusters of near duplicates; "
            f"{cpu / 60:.1f} minutes of CPU; {before:.1f} GB before it began. Prints are drawn like those of {what}."
        ],
    )


def _embedded(data: ScaleData) -> tuple[pa.Table, str]:
    """What `link` reads of faces with embeddings and prints, one in fifty a near copy; and what the prints are like."""
    embeddings, rows = data.embeddings()
    count, width = embeddings.shape
    offsets = pa.array(np.arange(count + 1) * width, pa.int32())
    taken = pa.array(rows)
    prints, what = drawn(count, data.rng, np.flatnonzero(data.rng.random(count) < 0.02)[1:])
    yaw_deg, pitch_deg = (pa.array(data.rng.normal(0, 12, count), pa.float32()) for _ in range(2))
    table = pa.table(
        {
            "face_id": data.face_ids().take(taken),
            "photo_sha256": data.photo_hashes.take(taken),
            "person": data.identities["person"].take(pa.array(data.photo_owner[rows])),
            "photo_phash": data.phashes().take(taken),
            "yaw_deg": yaw_deg,
            "pitch_deg": pitch_deg,
            "pupil_distance_px": pa.repeat(pa.scalar(80, pa.float32()), count),
            "measured_until": pa.repeat("all", count),
            "embedding": pa.ListArray.from_arrays(offsets, pa.array(embeddings.ravel())),
            "face_print": prints,
        }
    )
    return table, what
