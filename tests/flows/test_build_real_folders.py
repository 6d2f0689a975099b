"""The build on real photos and voices in VoxCeleb1's own layout, where they lie beside the checkout."""

from __future__ import annotations

import math
from pathlib import Path

import duckdb
import pytest

from tests.flows.building import Voxdata

PEOPLE = 15


@pytest.fixture
def real_people(shared_data: Path, tmp_path: Path) -> Path:
    """The first people of voxceleb1-mini, linked into a corpus of their own."""
    folder = tmp_path / "corpus"
    for kind in ("photos", "wav"):
        (folder / kind).mkdir(parents=True)
        for person in sorted((shared_data / "voxceleb1-mini" / kind).iterdir())[:PEOPLE]:
            (folder / kind / person.name).symlink_to(person)
    return folder


@pytest.mark.long
def test_voxceleb_folders_become_a_dataset(
    voxdata: Voxdata, shared_data: Path, real_people: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    settings = [
        f"sources.photos.path={real_people / 'photos'}",
        f"sources.speech.path={real_people}",
        f"sources.metadata.path={shared_data / 'voxceleb1-mini' / 'vox1_meta.csv'}",
        "faces.select.min_per_identity=1",
        "faces.pose.max_angle_deg=12",
    ]
    arguments = [part for setting in settings for part in ("--set", setting)]
    done = voxdata("build", "voxceleb-folder", "--root", str(root), *arguments)
    assert done.returncode == 0, done.stderr
    photos = sum(len(list(person.iterdir())) for person in (real_people / "photos").iterdir())
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:

        def ask(statement: str) -> list[tuple[object, ...]]:
            return connection.sql(statement).fetchall()

        assert ask("select count(*) from photos") == [(photos,)]
        assert ask("select count(distinct item_id) from faces") == [(photos,)]
        portraits = ask("select face_angle_deg, pupil_distance_px, yaw_deg, pitch_deg from faces where portrait")
        assert portraits
        for angle, distance, yaw, pitch in portraits:
            assert float(str(angle)) <= 12
            assert float(str(distance)) >= 30
            cosine = math.cos(math.radians(float(str(yaw)))) * math.cos(math.radians(float(str(pitch))))
            assert math.degrees(math.acos(cosine)) == pytest.approx(float(str(angle)), abs=0.05)
        named = ask("select count(*) from identities where name is null or sex = 'unknown'")
        assert named == [(0,)]
        heard = ask(
            "select count(*) from utterances where verdict = 'keep' and speech_s > 1.5 and frames_torch40 > 150"
        )
        assert heard == ask("select count(*) from utterances where verdict = 'keep'")
        assert heard != [(0,)]
    assert voxdata("verify", "--root", str(root)).returncode == 0
