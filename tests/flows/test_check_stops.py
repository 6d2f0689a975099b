"""What `voxdata check` says would end a build, and ends one at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.building import Voxdata
from tests.flows.looked_at import JPEG, META, ends, found, give, words
from voxdata.weights.cache import CACHE_VARIABLE


def test_nobody_with_both_ends_it(here: Voxdata, sources: Path) -> None:
    for person in list((sources / "wav").iterdir()):
        person.rename(person.with_name(f"{person.name} junior"))
    ends(
        here, sources, words(sources), "nobody has both photos and speech", "3 people have photos only", "3 speech only"
    )


def test_too_few_photos_of_everybody_end_it_and_of_some_are_said(here: Voxdata, sources: Path) -> None:
    few = words(sources, "faces.select.min_per_identity=4")
    ends(here, sources, few, "faces.select.min_per_identity = 4", "the most are 3")
    capped = words(sources, "crawl.photos_per_identity=2")
    assert "the most are 2" in here("check", *capped).stdout
    (sources / "photos" / "id10002" / "more.jpg").write_bytes(JPEG)
    status, said = found(here, *few)
    assert status == 0
    assert said["notes"] == ["2 people have fewer photos than faces.select.min_per_identity = 4: they stay out"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["faces.measure.emotion_model=mini_xception"], "faces.measure.emotion_model = mini_xception"),
        (["faces.render.matting=deeplabv3"], "faces.render.matting_model = deeplabv3_resnet50"),
        (["faces.measure.backend=mediapipe-tasks"], "faces.measure.landmarker_model = face_landmarker"),
        (["speech.measure.gate.silero=silero_vad"], "speech.measure.gate.silero = silero_vad"),
    ],
)
def test_a_missing_model_ends_it_with_the_command_that_brings_it(
    settings: list[str], said: str, here: Voxdata, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(sources / "cache"))
    name = said.partition(" = ")[2]
    ends(here, sources, words(sources, *settings), said, f"run: voxdata weights pull {name}")
    _, listed = found(here, *words(sources, *settings))
    (file,) = listed["files"]
    assert (f"{file['setting']} = {file['name']}", file["there"]) == (said, False)
    assert file["command"] == f"voxdata weights pull {name}"


def test_a_table_that_cannot_be_read_ends_it_in_one_line(here: Voxdata, sources: Path) -> None:
    (sources / "meta.csv").write_text("who\tsex\nAnn\tf\n")
    ends(here, sources, words(sources), f"metadata {sources / 'meta.csv'} has the columns")


def test_a_folder_without_photos_or_speech_ends_it(here: Voxdata, sources: Path) -> None:
    (sources / "empty").mkdir()
    (sources / "empty" / "a.heic.txt").write_text("")
    for medium, said in (("photos", "holds no photo"), ("speech", "holds no speech")):
        ends(
            here, sources, words(sources, f"sources.{medium}.path={sources / 'empty'}"), said, f"sources.{medium}.path"
        )


def test_every_reason_is_said_at_once(here: Voxdata, sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(sources / "cache"))
    broken = words(sources, f"sources.speech.path={sources / 'none'}", "faces.measure.emotion_model=mini_xception")
    done = here("build", *broken, "--root", str(sources / "root"))
    assert done.returncode == 1
    assert "is not there; check the path" in done.stderr
    assert "voxdata weights pull mini_xception" in done.stderr


def test_an_id_of_two_people_ends_it(here: Voxdata, sources: Path) -> None:
    (sources / "meta.csv").write_text(META + "id10002\tJane_Roe\tf\tUK\tdev\n")
    ends(here, sources, words(sources), "id10002 is John_Smith, and Jane_Roe in a later row", "aliases --confirm")
    lines = here("check", *words(sources)).stdout.splitlines()
    assert f"{sources / 'meta.csv'}: 3 people, 3 with a name" in lines
    assert not [line for line in lines if "repeat" in line or "can be used" in line]


def test_a_folder_that_two_people_are_called_by_ends_it(here: Voxdata, sources: Path) -> None:
    (sources / "meta.csv").write_text(META + "id10004\tAnn Lee\tf\tUK\tdev\n")
    ends(here, sources, words(sources), "sources.photos", "'ann lee' is the name of 2 people", "id10003")


def test_splits_by_rows_need_a_table(here: Voxdata, sources: Path) -> None:
    for person in (sources / "photos", sources / "wav"):
        give(person, ["same"], "jpg" if person.name == "photos" else "wav", 3)
    ends(here, sources, words(sources, "splits.rule=paper", metadata=False), "splits.rule = paper", "leak-free")
    status, said = found(here, *words(sources, "splits.rule=paper"))
    assert status == 0
    assert any("1 person has no row in the metadata tables, the first is same" in note for note in said["notes"])
    (sources / "meta.csv").write_text(META.splitlines()[0] + "\nid10009\tBo_Ek\tf\tUK\tdev\n")
    ends(here, sources, words(sources, "splits.rule=vggface-vox1"), "none of the 2 people", "splits.rule=leak-free")


def test_a_mistake_in_the_recipe_has_status_2(here: Voxdata, sources: Path) -> None:
    done = here("check", *words(sources, "faces.purity.min_similarity=0.3"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
