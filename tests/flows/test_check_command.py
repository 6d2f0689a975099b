"""`voxdata check`, and the same look before a build: what the sources hold, and what would end it hours later."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import unicodedata
from pathlib import Path

import pytest

from tests.flows.building import Voxdata, build_arguments
from tests.flows.looked_at import JPEG, META, found, give, words
from voxdata.people import optouts
from voxdata.people.pending import Forgetting
from voxdata.people.tombstones import state
from voxdata.pipeline.build import open_build
from voxdata.store.storage import open_storage
from voxdata.weights.cache import CACHE_VARIABLE

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"
HEAVY = {"torch", "prefect", "mediapipe", "onnxruntime"}


def stated(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_it_says_who_is_there_and_how_they_were_found(here: Voxdata, sources: Path) -> None:
    status, said = found(here, *words(sources))
    assert status == 0
    assert said["metadata"] == [{"path": str(sources / "meta.csv"), "rows": 3, "people": 3, "named": 3}]
    photos, speech = said["sources"]
    assert (photos["files"], photos["people"], photos["per_person"]) == (9, 3, [3, 3, 3])
    assert photos["matched"] == {"id": 1, "name": 1, "spelling": 1}
    assert (speech["files"], speech["people"], speech["matched"]) == (6, 3, {"name": 2, "id": 1})
    assert said["people"]["usable"] == 3
    assert (said["files"], said["notes"], said["stops"]) == ([], [], [])


def test_a_check_needs_no_root_changes_nothing_and_loads_nothing_heavy(sources: Path, tmp_path: Path) -> None:
    root = sources / "root"
    optouts.state(open_storage(root, create=True), "nobody", "opted_out", reason=None, at="2026-01-01T00:00:00Z")
    before = stated(tmp_path)
    program = (
        "import sys\nfrom flows.cli import main\n"
        f"for more in ([], ['--root', {str(root)!r}], ['--root', {str(sources / 'none')!r}]):\n"
        f"    assert main(['check', *{words(sources)!r}, *more]) == 0\n"
        f"print(sorted({HEAVY!r} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.count("a build can go on") == 3
    assert stated(tmp_path) == before


def test_folders_that_no_table_names_are_listed_with_the_nearest(here: Voxdata, sources: Path) -> None:
    give(sources / "photos", ["Jon Smith", "id10009", "Somebody Else"], "jpg", 1)
    _, said = found(here, *words(sources))
    unmatched = said["sources"][0]["unmatched"]
    assert unmatched["count"] == 3
    assert {each["name"]: each["near"] for each in unmatched["first"]} == {
        "Jon Smith": ["John_Smith (id10002)"],
        "id10009": [],
        "Somebody Else": [],
    }
    give(sources / "photos", [f"stranger {number}" for number in range(100)], "jpg", 1)
    out = here("check", *words(sources)).stdout
    assert "no table names 103: Jon Smith: John_Smith (id10002)?, Somebody Else, id10009, stranger 0, " in out
    assert "95 more" in out


def test_people_with_one_of_both_are_listed_and_may_be_each_other(here: Voxdata, sources: Path) -> None:
    give(sources / "photos", ["Maria Lopes", "Only Seen"], "jpg", 1)
    give(sources / "wav", ["Maria-Lopez", "Never Seen"], "wav", 1)
    _, said = found(here, *words(sources))
    photos, speech = said["people"]["photos_only"], said["people"]["speech_only"]
    assert (photos["count"], speech["count"], said["people"]["usable"]) == (2, 2, 3)
    assert photos["first"][0] == {"name": "Maria Lopes", "near": ["Maria-Lopez"]}
    assert speech["first"][0] == {"name": "Maria-Lopez", "near": ["Maria Lopes"]}


def test_the_two_normal_forms_of_a_name_are_one_person(here: Voxdata, tmp_path: Path) -> None:
    name = "Jos\N{LATIN SMALL LETTER E WITH ACUTE}"
    give(tmp_path / "photos", [unicodedata.normalize("NFD", name)], "jpg", 3)
    give(tmp_path / "wav", [name], "wav", 1)
    status, said = found(here, *words(tmp_path, metadata=False))
    assert (status, said["people"]["usable"]) == (0, 1)


def test_what_is_not_read_is_counted(here: Voxdata, sources: Path) -> None:
    person = sources / "photos" / "id10002"
    for name, data in {"a.cr2": b"II*\0", "b.cr2": b"II*\0", "notes.txt": b"words", "big.jpg": JPEG * 1000}.items():
        (person / name).write_bytes(data)
    (sources / "wav" / "id10003" / "list.xyz").write_bytes(b"nothing")
    (person / "IMG_1.jpg_large").write_bytes(JPEG)
    _, said = found(here, *words(sources, "crawl.max_file_mb=0.001"))
    photos, speech = said["sources"]
    assert photos["passed"] == {".cr2": 2, ".txt": 1, "over crawl.max_file_mb": 1}
    assert photos["files"] == 10
    assert speech["passed"] == {".xyz": 1}


def test_photos_of_phones_are_told_from_what_is_no_photo(
    here: Voxdata, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxdata.sources.magic.find_spec", lambda name: None)
    (sources / "photos" / "id10002" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    lines = here("check", *words(sources)).stdout.splitlines()
    assert "  not read: .heic (1)" in lines
    assert "3 people can be used" in lines
    assert "  1 of them is a HEIC photo; to read HEIC: pip install 'voxdata[heic]'" in lines


def test_speech_of_strangers_does_not_count_where_it_is_rejected(here: Voxdata, sources: Path) -> None:
    give(sources / "photos", ["stranger"], "jpg", 3)
    give(sources / "wav", ["stranger"], "wav", 3)
    assert found(here, *words(sources))[1]["people"]["usable"] == 4
    _, said = found(here, *words(sources, "speech.select.unknown_identity=reject"))
    assert said["people"]["usable"] == 3
    assert said["notes"] == ["speech.select.unknown_identity = reject leaves out 1 person whom no table names"]


def test_without_speech_photos_are_enough(here: Voxdata, sources: Path) -> None:
    status, said = found(here, *words(sources, "sources.speech.path=null"))
    assert (status, said["people"]["usable"], said["people"]["photos_only"]["count"]) == (0, 3, 0)


def test_a_model_that_is_here_is_said_and_one_that_is_not_used_is_not_looked_for(
    here: Voxdata, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(sources / "cache"))
    model = sources / "mine.task"
    model.write_bytes(b"PK")
    given = ["faces.measure.backend=mediapipe-tasks", f"faces.measure.landmarker_model={model}"]
    _, said = found(here, *words(sources, *given))
    assert said["files"] == [
        {"setting": "faces.measure.landmarker_model", "name": str(model), "there": True, "command": None}
    ]
    assert found(here, *words(sources))[1]["files"] == []


def test_people_of_a_table_are_counted_and_rows_of_one_id_joined(here: Voxdata, sources: Path) -> None:
    more = "id10002\tjohn smith\tf\tIreland\tdev\nid10001\tBeyonce\tf\tUSA\tdev\nid10001\t\tf\tUSA\tdev\n"
    (sources / "meta.csv").write_text(META + more)
    status, said = found(here, *words(sources))
    (table,) = said["metadata"]
    assert (status, table["rows"], table["people"], table["named"]) == (0, 6, 3, 3)
    (note,) = [note for note in said["notes"] if "repeat the id" in note]
    assert note.startswith("metadata: 3 rows repeat the id of an earlier one, the first is id10001")
    assert "those of 1, such as id10002, contradict each other" in note


def test_a_root_brings_its_opt_outs_and_its_forgotten(here: Voxdata, sources: Path) -> None:
    root = sources / "root"
    storage = open_storage(root, create=True)
    optouts.state(storage, "John Smith", "opted_out", reason=None, at="2026-01-01T00:00:00Z")
    gone = Forgetting(
        person="id10003",
        identities=["id10003"],
        words=["id10003", "Ann_Lee"],
        photos=[],
        contents=[],
        reason="asked",
        at="2026-01-02T00:00:00Z",
    )
    state(storage, gone)
    status, said = found(here, *words(sources), "--root", str(root))
    assert (status, said["people"]["usable"], said["people"]["opted_out"]) == (0, 1, 1)
    assert "sources.photos: 3 files of people who were forgotten are passed over" in said["notes"]
    optouts.state(storage, "Beyonce", "opted_out", reason=None, at="2026-01-01T00:00:00Z")
    status, said = found(here, *words(sources), "--root", str(root))
    assert (status, said["stops"]) == (1, ["all 2 people whom the sources hold opted out"])


def test_a_site_is_not_asked(here: Voxdata, sources: Path) -> None:
    site = "sources.photos={kind: site, url: http://127.0.0.1:9/}"
    status, said = found(here, *words(sources)[:1], "--set", site, "--set", f"sources.speech.path={sources / 'wav'}")
    assert (status, said["people"]) == (0, None)
    assert (said["sources"][0]["files"], said["sources"][1]["files"]) == (None, 6)
    assert "http://127.0.0.1:9/ is not asked here" in said["notes"][0]


def test_photos_of_several_sources_are_called_photos_and_a_search_needs_no_address(
    here: Voxdata, sources: Path
) -> None:
    settings = words(sources)[3:]
    several = f"sources.photos=[{{path: {sources / 'photos'}}}, {{kind: wikimedia}}]"
    done = here("check", "voxceleb-folder", "--set", several, *settings)
    assert (done.returncode, "None" in done.stdout) == (0, False), done.stdout
    assert f"sources.photos.0 = {sources / 'photos'} (folder): 9 photos of 3 people" in done.stdout
    assert "sources.photos.1 (wikimedia): not listed" in done.stdout
    assert "note: sources.photos.1: wikimedia is not asked here" in done.stdout


def test_lists_tars_and_videos_are_looked_into(here: Voxdata, sources: Path) -> None:
    """All that lies on disk is matched; how many photos a video gives is not known, and so ends nothing."""
    (sources / "list.csv").write_text(
        "name,url\n"
        + "".join(f"{name},http://x.example/{n}.jpg\n" for name in ("Beyonce", "Maria Lopes") for n in (1, 2))
        + ",http://x.example/nobody.jpg\nBeyonce,ftp://x.example/no.jpg\n"
    )
    with tarfile.open(sources / "photos.tar", "w") as tar:
        for name in ("id10002/0.jpg", "id10002/1.jpg", "loose.jpg"):
            tar.addfile(tarfile.TarInfo(name))
    (sources / "videos" / "ann lee").mkdir(parents=True)
    (sources / "videos" / "ann lee" / "one.mp4").write_bytes(b"not decoded")
    kinds = [("list", "list.csv"), ("webdataset", "photos.tar"), ("video", "videos")]
    given = ", ".join(f"{{kind: {kind}, path: {sources / name}}}" for kind, name in kinds)
    settings = [*words(sources)[3:], "--set", f"sources.photos=[{given}]"]
    few = ["--set", "faces.select.min_per_identity=3"]
    status, said = found(here, "voxceleb-folder", *settings, *few)
    listed = [(each["files"], each["people"], each["several"]) for each in said["sources"][:3]]
    assert (status, listed) == (0, [(4, 2, False), (2, 1, False), (1, 1, True)]), said["stops"]
    assert said["sources"][0]["passed"] == {"name nobody": 1, "have no http or https url": 1}
    assert said["sources"][1]["passed"] == {"name nobody": 1}
    assert said["people"]["usable"] == 3
    assert [each["name"] for each in said["people"]["photos_only"]["first"]] == ["Maria Lopes"]
    assert any(
        note.startswith("2 people have fewer photos than faces.select.min_per_identity = 3") for note in said["notes"]
    )
    assert (
        "sources.photos.2 = " + f"{sources / 'videos'} (video): 1 video of 1 person"
        in here("check", "voxceleb-folder", *settings).stdout
    )


def test_a_folder_that_is_named_twice_counts_once(here: Voxdata, sources: Path) -> None:
    twice = f"sources.photos=[{{path: {sources / 'photos'}}}, {{path: {sources / 'photos'}/.}}]"
    settings = [*words(sources)[3:], "--set", twice, "--set", "faces.select.min_per_identity=4"]
    status, said = found(here, "voxceleb-folder", *settings)
    assert any("is where sources.photos.0 lies, too" in note for note in said["notes"])
    assert status == 1
    assert "the most are 3" in said["stops"][0]


def test_further_corpora_count_together(here: Voxdata, sources: Path) -> None:
    give(sources / "more", ["New Person"], "jpg", 3)
    give(sources / "sounds", ["new_person"], "wav", 3)
    also = json.dumps([{"photos": {"path": str(sources / "more")}, "speech": {"path": str(sources / "sounds")}}])
    _, said = found(here, *words(sources, f"sources.also={also}"))
    assert said["people"]["usable"] == 4
    settings = ["sources.photos", "sources.also.0.photos", "sources.speech", "sources.also.0.speech"]
    assert [each["setting"] for each in said["sources"]] == settings


def test_what_has_no_effect_is_said_when_a_build_begins(sources: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pairs = [each for each in words(sources)[1:] if each != "--set"]
    open_build(str(sources / "root"), "demo", [*pairs, "splits.rule=paper"])
    assert "splits.test_share = 0.36 has no effect: it counts only with splits.rule = leak-free" in caplog.text
    assert "3 people of the sources can be used" in caplog.text


def test_the_painted_corpus_passes(here: Voxdata, corpus: Path) -> None:
    arguments = build_arguments(corpus, corpus / "none")
    status, said = found(here, *arguments[1:])
    assert (status, said["people"]["usable"]) == (0, 8)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_real_voxceleb_folders(here: Voxdata) -> None:
    mini = SHARED / "data" / "voxceleb1-mini"
    table = SHARED / "data" / "meta" / "vox1_meta.csv"
    given = [f"sources.photos.path={mini / 'photos'}", f"sources.speech.path={mini / 'wav'}"]
    given += [f"sources.metadata.path={table}"]
    status, said = found(here, "hq-voxceleb-automatic", *(part for each in given for part in ("--set", each)))
    assert (status, said["people"]["usable"]) == (0, 81)
    assert said["sources"][0]["matched"] == {"id": 81}
    assert said["notes"] == ["51 people have fewer photos than faces.select.min_per_identity = 3: they stay out"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_trees_as_people_unpack_them(here: Voxdata, tmp_path: Path) -> None:
    script = SHARED / "cases" / "make_cases.py"
    made = subprocess.run([sys.executable, script, tmp_path], cwd=script.parent, capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"make_cases.py does not run here: {made.stderr.decode()[-200:]}")
    trees = tmp_path / "trees"
    for name, people in {"both": 2, "vox1_beside_vox2": 2, "dev_mp4": 2, "vox1_dev_wav": 2}.items():
        given = [f"sources.photos.path={trees / 'nfc/photos'}", f"sources.speech.path={trees / name}"]
        given += [f"sources.metadata.path={trees / 'vox2_meta.csv'}"]
        _, said = found(here, "voxceleb-folder", *(part for each in given for part in ("--set", each)))
        speech = said["sources"][1]
        assert (speech["people"], speech["files"]) == (people, 2), name
