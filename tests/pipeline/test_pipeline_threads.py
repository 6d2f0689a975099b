"""A worker process of several threads, as `dask worker` starts one: the rows that one thread gives, and no crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from voxdata.format.errors import StorageError
from voxdata.pipeline import preflight
from voxdata.recipe.reading import load_recipe
from voxdata.store.storage import LocalStorage

REPOSITORY = Path(__file__).resolve().parents[2]
THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import cv2
from voxdata.faces.detect.backends import open_landmarker
from voxdata.faces import measure
from voxdata.pipeline.stages import FACES_MEASURE
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.face import paint_photo
from voxdata.simulate.people import draw_people
from voxdata.store.items import PhotoItem

def item(number, pixels):
    data = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    row = {"item_id": f"i/{number}", "identity": "i", "person": "i", "bucket": 0, "photo_sha256": f"{number:064x}"}
    return PhotoItem(row=row, data=lambda: data)

people = draw_people(4, seed=11, link=1.0)
photos = [paint_photo(people[n], size_px=256, seed=n) for n in range(4)]
recipe = load_recipe("voxceleb-folder", ["sources.photos.path=p", "sources.speech.path=s"])

def rows(number):
    run = FACES_MEASURE.run if number % 2 else lambda items, recipe: measure.run(items, recipe.faces.measure)
    return run([item(number, photos[number % 4])], recipe).rows.drop_columns(["item_id", "photo_sha256", "face_id"])

with ThreadPoolExecutor(4) as pool:  # the first of them load the models
    together = list(pool.map(rows, range(24)))
alone = [rows(number) for number in range(4)]
assert sum(table.num_rows for table in alone) == 4
assert all(table.equals(alone[number % 4]) for number, table in enumerate(together))
print("the same")
"""


@pytest.mark.long
def test_threads_of_one_process_measure_what_one_does() -> None:
    """Through the stage, and beside it."""
    done = subprocess.run(
        [sys.executable, "-c", THREADS],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr


def test_a_worker_says_once_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = LocalStorage(tmp_path)
    storage.commit("fragments/crawl/0.parquet", b"")
    gone = tmp_path / "gone"
    recipe = load_recipe("voxceleb-folder", [f"sources.photos.path={tmp_path}", f"sources.speech.path={gone}"])
    for _ in range(2):
        preflight.look_around(storage, recipe, "fragments/crawl/0.parquet")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"worker {os.getpid()} on " in said
    assert f"reaches root {tmp_path}, NOT the source {gone}" in said


def test_a_worker_that_does_not_reach_the_root_says_where_it_is(tmp_path: Path) -> None:
    recipe = load_recipe("voxceleb-folder", [f"sources.photos.path={tmp_path}", f"sources.speech.path={tmp_path}"])
    with pytest.raises(StorageError, match=r"a worker on .* does not reach root .*: fragments/crawl/0\.parquet"):
        preflight.look_around(LocalStorage(tmp_path / "unmounted"), recipe, "fragments/crawl/0.parquet")
