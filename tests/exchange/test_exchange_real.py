"""Real portraits of the released HQ-VoxCeleb, and real pairs, where they lie beside the checkout."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import voxdata
from tests.exchange import layouts
from tests.exchange.conftest import Voxdata
from voxdata.catalog.query import run_query
from voxdata.store.storage import open_storage


def test_released_portraits_are_imported_and_train(shared_data: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    samples = sorted((shared_data / "truth" / "hq-voxceleb-samples").glob("*/*.jpg"))
    meta = shared_data / "meta" / "vox1_meta.csv"
    listed = {line.split("\t")[1] for line in meta.read_text().splitlines()[1:]}
    people = sorted({path.parent.name for path in samples} & listed)
    assert people
    for path in samples:
        if path.parent.name in people:
            layouts.write(tmp_path / "hq" / "vox1" / "masked_faces" / path.parent.name / path.name, path.read_bytes())
    for number, person in enumerate(people):
        file = tmp_path / "hq" / "vox1" / "mel_spectrograms" / person / f"id19999_video_{number:05d}.pickle"
        layouts.write(file, pickle.dumps({"LogMel_Features": layouts.mel(number)}, 2))
    (tmp_path / "hq" / "vox1" / "vox1_meta.csv").symlink_to(meta)
    root = tmp_path / "root"
    settings = ["--set", "splits.val_share=0", "--set", "splits.test_share=0"]
    status, said, _ = voxdata_("import", "hq-voxceleb", tmp_path / "hq", "--root", root, *settings)
    assert status == 0, said
    with voxdata.open(root) as data:
        portraits = data.portraits().to_pylist()
        assert {row["name"] for row in portraits} == set(people)
        assert all(row["sex"] in "mf" and row["nationality"] != "unknown" for row in portraits)
        assert all(row["identity"].startswith("id1") and row["identity"] != "id19999" for row in portraits)
        pairs = data.pairs("train", front_end="psf40", cache="memory")
        bright = pairs[list(range(len(pairs)))]["portrait"][:, :, :3, :3].float().mean()
        assert bright > 200  # the corner is background, and that is white


@pytest.mark.long
def test_real_pairs_are_built_and_read(shared_data: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    """Limits are wide: a video's frame is seldom a passport photo."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for path in sorted((shared_data / "avspeech-mini").iterdir())[:48]:
        (folder / path.name).symlink_to(path)
    root = tmp_path / "root"
    settings = ["faces.pose.max_angle_deg=30", "splits.val_share=0", "splits.test_share=0"]
    arguments = [word for setting in settings for word in ("--set", setting)]
    status, _, told = voxdata_("import", "avspeech", folder, "--root", root, *arguments)
    assert status == 0, told
    backends = run_query(open_storage(root), "SELECT DISTINCT backend FROM faces WHERE portrait")["backend"].to_pylist()
    assert backends
    assert "import" not in backends
    with voxdata.open(root) as data:
        pairs = data.pairs("train", cache="memory")
        portrait, utterance = pairs.keys(0)
        assert portrait[:11] == utterance[:11]


@pytest.mark.long
def test_real_lfw_photos_become_a_version_of_faces(shared_data: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    folder = tmp_path / "lfw"
    folder.mkdir()
    for path in sorted((shared_data / "photos" / "lfw-gray").iterdir())[:8]:
        (folder / path.name).symlink_to(path)
    root = tmp_path / "root"
    whole = ("--set", "faces.render.max_head_cut=null")  # these copies are cut to the face
    status, _, told = voxdata_("import", "lfw", folder, "--root", root, "--set", "faces.pose.max_angle_deg=15", *whole)
    assert status == 0, told
    with voxdata.open(root) as data:
        people = set(data.portraits()["identity"].to_pylist())
        assert people
        assert people <= {path.name for path in folder.iterdir()}
        assert len(data.utterances()) == 0
