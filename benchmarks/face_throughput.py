"""CPU time of the face stage per photo beside the bare sum of JPEG decode and the networks' own time.

    python benchmarks/face_throughput.py [--data ../shared/data] [--rounds 5] [--photos 120]
    python benchmarks/face_throughput.py --data ../shared/data --memory 5000

Photos are `photos/web` of the data folder and simulated ones of about 512 px. One pass records every call of the
networks with its input; then whole stage and bare sum take turns of nine photos in the same process, and the figure is
the median of each round's ratio. The bare sum is Pillow's decode to RGB of the same files plus the same calls on
the recorded inputs, nothing else, in the order in which the stage makes them. CPU time counts every thread, mediapipe's
included, so that the figures are per core on however busy a machine.

Further sections: where the stage's own time goes; the same with embeddings and emotions, where the data folder has
their weights; a mix of which the paper's rules reject 85 %, under the shipped floors and under the lowest, and what the
shipped ones cost (`throughput/floors.py`); the rendering of portraits; worker processes over several tasks
(`throughput/memory.py`). `--memory N` measures N photos in one worker and writes its resident memory instead.
Results go to benchmarks/results/.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = (
    "1"  # as voxdata.pipeline.processes.prepare_worker does
)

import argparse
import io
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, Section, show
from PIL import Image
from throughput.calls import Recording, alternated, medians, recorded, spent, timed
from throughput.floors import floors
from throughput.memory import memory, workers
from throughput.photos import PHOTO_PX, mixed_photos, real_photos, simulated_photos

from voxdata.faces import face, measure
from voxdata.faces.detect.mediapipe_wheel import MediapipeLandmarker, mediapipe_solutions
from voxdata.faces.measures import expression, lighting, occlusion, sharpness
from voxdata.faces.measures.embedding import Embedder
from voxdata.faces.measures.emotion import EmotionNet
from voxdata.faces.portrait import render
from voxdata.recipe.faces import FaceMeasure, Render
from voxdata.recipe.reading import load_recipe
from voxdata.store.items import FaceItem, PhotoItem

MUST = 1.25  # times the bare sum
PORTRAITS = 20
PHOTOS_A_TURN = 9  # a few tenths of a second
WEIGHTS = {"embedding_model": "mobilefacenet_y1.onnx", "emotion_model": "fer2013_mini_XCEPTION.102-0.66.hdf5"}
LINES: dict[str, list[tuple[Any, str]]] = {
    "decode": [(measure, "decode_photo")],
    "hash, grayscale": [(measure, "thumbnail"), (measure, "perceptual_hash"), (measure, "is_grayscale")],
    "detectors": [(MediapipeLandmarker, "detect")],
    "mesh": [(MediapipeLandmarker, "landmarks")],
    "second look": [(measure, "second_look")],
    "pose, eyes, expression": [(face, "find_pupils"), (face, "pose_of"), (expression, "measure_expression")],
    "patch": [(face, "face_patch")],
    "light": [(lighting, "measure_lighting")],
    "glasses, occlusion": [(occlusion, "measure_occlusion")],
    "sharpness": [(sharpness, "measure_sharpness")],
    "embedding": [(Embedder, "__call__")],
    "emotions": [(EmotionNet, "__call__")],
}


def main() -> None:
    """Measure the sections asked for, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of real test data: photos/, voxceleb1-mini/, weights/")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=int, default=120, help="simulated photos of each set")
    parser.add_argument("--memory", type=int, metavar="N", help="only this: resident memory over N photos")
    parser.add_argument("--portraits", action="store_true", help="only this: rendering")
    options = parser.parse_args()
    settings = FaceMeasure()
    every_network = settings.model_copy(update=_weights(options.data))
    sets = {f"simulated {PHOTO_PX} px": simulated_photos(options.photos)}
    if options.data is not None:
        sets = {"photos/web": real_photos(options.data / "photos" / "web"), **sets}
    photos = [each for items in sets.values() for each in items]
    if options.memory is not None:
        show([memory(photos, every_network, options.memory)], "face_memory")
        return
    if options.portraits:
        show([_portraits(photos, options.rounds)], "face_throughput-portraits")
        return
    sections = [_stage(name, items, settings, options.rounds) for name, items in sets.items()]
    if every_network != settings:
        sections += [
            _stage(f"{name}, with embeddings and emotions", items, every_network, options.rounds)
            for name, items in sets.items()
        ]
    painted = load_recipe("hq-voxceleb-automatic", ["faces.measure.frontal_pitch_deg=0"]).faces
    sections.append(floors("mix with 85 % rejects", mixed_photos(2 * options.photos), painted, options.rounds))
    if options.data is not None:
        everything = real_photos(options.data / "photos") + real_photos(options.data / "voxceleb1-mini" / "photos")
        sections.append(
            floors("real photos, every second one", everything[::2], load_recipe("hq-voxceleb-automatic").faces, 1)
        )
    sections.append(_portraits(photos, options.rounds))
    sections.append(workers(photos[:24], every_network))
    show(sections, "face_throughput")


def _weights(data: Path | None) -> dict[str, str]:
    if data is None:
        return {}
    return {name: str(data / "weights" / file) for name, file in WEIGHTS.items()}


def _stage(name: str, items: list[PhotoItem], settings: FaceMeasure, rounds: int) -> Section:
    measure.run(items, settings)  # loads the models
    turns: dict[str, Callable[[], dict[str, float]]] = {}
    counts: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    for first in range(0, len(items), PHOTOS_A_TURN):
        part = items[first : first + PHOTOS_A_TURN]
        bare, measured = _recorded(part, settings)
        turns |= {f"whole {first}": partial(spent, partial(measure.run, part, settings)), f"bare {first}": bare.seconds}
        counts.update(bare.counts())
        rows += measured
    found = alternated(turns, rounds)
    seconds, over_bare = medians(found), _over_bare(found)
    own: dict[str, float] = {}
    with timed({**LINES, "rows, tables, the rest": [(measure, "run")]}, own):
        measure.run(items, settings)
    whole_s, wall_s = seconds.pop("CPU"), seconds.pop("wall")
    bare_s = sum(seconds.values())
    megapixels = [row["photo_width_px"] * row["photo_height_px"] / 1e6 for row in rows if row["photo_width_px"]]
    faces = sum(row["measured_until"] == "all" for row in rows)
    return Section(
        title=f"{name}: {len(items)} photos, {np.median(megapixels):.2g} megapixels in the median, {faces} faces",
        figures=[
            Figure(name="whole stage over bare sum, CPU time", value=over_bare, n=len(items), must=MUST),
            Figure(name="whole stage, ms per photo", value=1e3 * whole_s / len(items), n=len(items)),
            Figure(name="whole stage, ms on the wall per photo", value=1e3 * wall_s / len(items), n=len(items)),
            Figure(name="bare sum, ms per photo", value=1e3 * bare_s / len(items), n=len(items)),
            Figure(name="photos per second and core", value=len(items) / whole_s, n=len(items), higher=True),
        ],
        tables={
            "The bare sum": _per_photo(seconds, len(items), counts),
            "The stage, line by line (one pass, with a clock around each)": _per_photo(own, len(items)),
        },
    )


def _recorded(items: list[PhotoItem], settings: FaceMeasure) -> tuple[Recording, list[dict[str, Any]]]:
    """The stage's network calls for these photos, each photo's after a plain decode; and the stage's rows."""
    bare, rows = Recording(), []
    with recorded(_networks(settings), bare):
        for item in items:
            at = len(bare.calls)
            measured = measure.run([item], settings).rows.to_pylist()
            if measured[0]["photo_status"] not in ("unreadable", "too_large", "too_small"):
                bare.calls.insert(at, ("decode", partial(_plain_decode, item.data())))
            rows += measured
    return bare, rows


def _networks(settings: FaceMeasure) -> dict[str, tuple[type, str]]:
    solutions = mediapipe_solutions()
    networks: dict[str, tuple[type, str]] = {
        "detectors": (solutions.face_detection.FaceDetection, "process"),
        "mesh": (solutions.face_mesh.FaceMesh, "process"),
    }
    if settings.embedding_model is not None:
        import onnxruntime

        networks["embedding"] = (onnxruntime.InferenceSession, "run")
    if settings.emotion_model is not None:
        from voxdata.faces.mini_xception import MiniXception

        networks["emotions"] = (MiniXception, "__call__")
    return networks


def _portraits(items: list[PhotoItem], rounds: int) -> Section:
    """Rendering of faces that pass the paper's rules but for the angle, which few of these photos keep."""
    recipe = load_recipe("hq-voxceleb-automatic").faces
    data = {item.row["item_id"]: item.data for item in items}
    faces = measure.run(items, recipe.measure).rows.to_pylist()
    chosen = [
        FaceItem(row=row, data=data[row["item_id"]])
        for row in faces
        if row["measured_until"] == "all" and row["face_angle_deg"] < 20 and row["pupil_distance_px"] >= 64
    ][:PORTRAITS]
    settings = Render()
    bare, rendered = Recording(), 0
    whole = partial(render.run, chosen, settings)
    whole()
    selfie = mediapipe_solutions().selfie_segmentation.SelfieSegmentation
    with recorded({"selfie network": (selfie, "process")}, bare):
        for portrait in chosen:
            bare.calls.append(("decode", partial(_plain_decode, portrait.data())))
            for blob in render.run([portrait], settings).blobs.values():
                pixels = np.asarray(Image.open(io.BytesIO(blob[settings.format])))
                bare.calls.append(("encode", partial(render.encode, pixels, settings)))
                rendered += 1
    found = alternated({"whole": partial(spent, whole), "bare": bare.seconds}, rounds)
    seconds, over_bare = medians(found), _over_bare(found)
    whole_s, wall_s = seconds.pop("CPU"), seconds.pop("wall")
    return Section(
        title=f"portraits of {settings.size_px} px: {len(chosen)} faces, {rendered} rendered",
        figures=[
            Figure(name="render over bare sum, CPU time", value=over_bare, n=len(chosen)),
            Figure(name="render, ms per portrait", value=1e3 * whole_s / len(chosen), n=len(chosen)),
            Figure(name="render, ms on the wall per portrait", value=1e3 * wall_s / len(chosen), n=len(chosen)),
        ],
        tables={"The bare sum": _per_photo(seconds, len(chosen), bare.counts())},
    )


def _per_photo(seconds: dict[str, float], photos: int, calls: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    rows = [{"line": line, "ms per photo": 1e3 * each / photos} for line, each in seconds.items()]
    if calls is None:
        return rows
    return [{**row, "calls per photo": calls[str(row["line"])] / photos} for row in rows]


def _over_bare(found: list[dict[str, float]]) -> float:
    """Median over the rounds of the whole's CPU time over the bare sum's of the same round."""
    return float(
        np.median(
            [
                each["CPU"] / sum(seconds for line, seconds in each.items() if line not in ("CPU", "wall"))
                for each in found
            ]
        )
    )


def _plain_decode(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


if __name__ == "__main__":
    main()
