"""A package of somebody else adds sources, a front end, landmarks, a matting and a measure; a build uses them."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.flows.building import Voxdata
from tests.toy_package import install_toy
from voxdata import open as open_root
from voxdata.catalog.snapshot import load_snapshot
from voxdata.store.storage import open_storage

PEOPLE = 3
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> dict[str, Path]:
    """The photos and the clips of the corpus's first people, as the toy's lists."""
    folder = tmp_path_factory.mktemp("lists")
    people = sorted(path.name for path in (corpus / "wav").iterdir())[:PEOPLE]
    photos = [f"{who} CC-{who} {path}" for who in people for path in sorted((corpus / "photos" / who).iterdir())]
    clips = [f"{who} {path}" for who in people for path in sorted((corpus / "wav" / who).rglob("*.wav"))]
    (folder / "photos.txt").write_text("\n".join(photos))
    (folder / "clips.txt").write_text("\n".join(clips))
    return {"photos": folder / "photos.txt", "clips": folder / "clips.txt"}


@pytest.fixture(scope="module")
def toy_root(tmp_path_factory: pytest.TempPathFactory, lists: dict[str, Path], voxdata: Voxdata) -> Path:
    toy = install_toy(tmp_path_factory.mktemp("site"))
    root = tmp_path_factory.mktemp("toy") / "root"
    settings = [
        "sources.photos.kind=toy-list",
        f"sources.photos.path={lists['photos']}",
        "sources.speech.kind=toy-list",
        f"sources.speech.path={lists['clips']}",
        "speech.measure.front_ends=[torch40,toy16]",
        "faces.measure.backend=toy-landmarks",
        "faces.render.matting=toy-oval",
        "faces.measure.more=[warmth]",
        "faces.pose.max_angle_deg=12",
        "faces.select.min_per_identity=1",
        "work.workers=2",
    ]
    sets = [part for setting in settings for part in ("--set", setting)]
    path = os.pathsep.join(filter(None, [str(toy), os.environ.get("PYTHONPATH")]))
    done = voxdata("build", "voxceleb-folder", "--root", str(root), *sets, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    return root


def rows(root: Path, statement: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:
        return connection.sql(statement).fetchall()


def test_every_part_of_the_package_did_its_work(toy_root: Path, lists: dict[str, Path]) -> None:
    assert rows(toy_root, "select medium, kind, address, host from sources order by medium") == [
        ("photos", "toy-list", f"{lists['photos']}/", None),
        ("speech", "toy-list", "", "toy.example"),
    ]
    licences = rows(toy_root, "select distinct identity, licence from photos order by all")
    assert len(licences) == PEOPLE
    assert all(licence == f"CC-{identity}" for identity, licence in licences)
    backends = "select distinct backend, backend_version, matting_backend, matting_version from faces where portrait"
    assert rows(toy_root, backends) == [("toy-landmarks", "7", "toy-oval", "oval 1")]


def test_what_the_measure_found_is_in_the_catalog_the_queries_and_the_report(
    toy_root: Path, tmp_path: Path, here: Voxdata
) -> None:
    ((least, most, comment),) = rows(
        toy_root,
        "select min(warmth), max(warmth), any_value(comment) from portraits, duckdb_columns() "
        "where table_name = 'faces' and column_name = 'warmth'",
    )
    assert 0 < least <= most < 1
    assert comment == "Red against blue, 0.5 is neither"
    tried = here("sql", "--query", "what-if-faces", "--root", str(toy_root), "--format", "json")
    faces = {row["threshold"]: row["faces"] for row in json.loads(tried.stdout) if row["rule"] == "cold"}
    assert set(faces) <= {0.1, 0.4, 0.5, 0.6}
    assert 0.1 in faces, "the limit in force is always said"
    assert len(faces) > 1, "none of the package's limits is tried"
    for threshold, left in faces.items():
        (asked,) = rows(toy_root, f"select count(*) from portraits where warmth >= {threshold}::FLOAT")
        assert left == asked[0]
    page = tmp_path / "report.html"
    assert here("report", "--root", str(toy_root), "--out", str(page)).returncode == 0
    assert "Distribution of Warmth" in page.read_text()


def test_the_front_end_is_its_own_and_the_snapshot_says_how_to_compute_it(toy_root: Path) -> None:
    snapshot = load_snapshot(open_storage(toy_root))
    said = snapshot.front_ends["toy16"]
    assert (said["n_mels"], said["hop_s"], said["vad"]) == (16, 0.02, "webrtc-3-30ms-300ms")
    with open_root(toy_root) as dataset:
        keys = sorted(set(dataset.utterances()["key"].to_pylist()))
        arrays = [
            [np.load(io.BytesIO(dataset.read(key, f"{name}.npy"))) for name in ("toy16", "torch40")] for key in keys
        ]
    shapes = [tuple(array.shape for array in both) for both in arrays]
    assert shapes
    assert all(toy[0] == 16 and plain[0] == 40 and toy[1] < plain[1] for toy, plain in shapes)


def test_what_was_built_stays_readable_without_the_package(
    toy_root: Path, here: Voxdata, caplog: pytest.LogCaptureFixture
) -> None:
    done = here("catalog", "rebuild", "--root", str(toy_root))
    assert done.returncode == 0, done.stderr
    assert "nothing is installed for photos of kind 'toy-list'" in caplog.text
    assert rows(toy_root, "select distinct kind from sources") == [("toy-list",)]


def test_a_person_leaves_without_the_package(toy_root: Path, tmp_path: Path, here: Voxdata) -> None:
    root = tmp_path / "root"
    shutil.copytree(toy_root, root)
    (who, *_), *_ = rows(root, "select distinct identity from utterances order by all")
    done = here("forget", str(who), "--reason", "letter 12", "--root", str(root), "--yes")
    assert done.returncode == 0, done.stderr
    assert "sources.photos.kind = 'toy-list'" in done.stderr
    assert rows(root, f"select count(*) from utterances where identity = '{who}'") == [(0,)]
    assert load_snapshot(open_storage(root)).front_ends["toy16"]["normalisation"]["kind"] == "utterance"


def test_what_is_not_installed_is_named_with_what_is(toy_root: Path, here: Voxdata) -> None:
    (recipe,) = (toy_root / "recipes").iterdir()
    said = here("build", str(recipe), "--root", str(toy_root)).stderr
    for line in (
        "sources.photos.kind = 'toy-list': there is no such name; there are folder, ",
        "sources.speech.kind = 'toy-list': there is no such name; there are folder, webdataset",
        "speech.measure.front_ends.1 = 'toy16': there is no such name; there are openvoice_speaker, psf40, ",
        "faces.measure.backend = 'toy-landmarks': there is no such name; there are face-alignment, mediapipe",
        "faces.render.matting = 'toy-oval': there is no such name; there are deeplabv3, mediapipe-selfie",
    ):
        assert line in said
    assert json.loads((next((toy_root / "snapshots").glob("*.json"))).read_text())["recipe"]["sources"]["photos"] == {
        "kind": "toy-list",
        "licence": "unknown",
        "every": 1,
    }
