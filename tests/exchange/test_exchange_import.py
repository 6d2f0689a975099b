"""Layouts of finished portraits and log-mels, imported as a person types it."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import voxdata
from flows.cli import main
from tests.exchange import layouts
from tests.exchange.conftest import Voxdata
from voxdata.catalog.named import named_query
from voxdata.catalog.query import run_query
from voxdata.catalog.verify import verify
from voxdata.exchange.import_layouts import find_people
from voxdata.people import optouts, tombstones
from voxdata.people.identities import Identity, IdentityBook
from voxdata.people.merging import CONFIRMED, decide
from voxdata.people.pending import Forgetting
from voxdata.store.storage import LocalStorage, open_storage

LICENCE = ("--set", "sources.photos.licence=cc0")


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.hq_voxceleb(tmp_path_factory.mktemp("layout"))


@pytest.fixture(scope="module")
def root(layout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout, imported; only to be read."""
    folder = tmp_path_factory.mktemp("imported") / "root"
    words = ["import", "hq-voxceleb", str(layout), "--root", str(folder), *LICENCE]
    assert main(["--quiet", *words]) == 0
    return folder


@pytest.fixture
def copy(layout: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(layout, tmp_path / "layout"))


def shards(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "shards").iterdir()}


def people(root: Path) -> set[str]:
    return set(run_query(open_storage(root), "SELECT person FROM samples")["person"].to_pylist())


def test_every_portrait_and_log_mel_arrives_as_it_was(layout: Path, root: Path) -> None:
    assert [problem for problem in verify(open_storage(root)) if problem.harmful] == []
    with voxdata.open(root) as data:
        for row in data.portraits().to_pylist():
            original = (layout / row["source_key"]).read_bytes()
            assert data.read(row["key"], row["format"]) == original
        clips = data.utterances().to_pylist()
        for row in clips:
            number = int(row["name"].rpartition("_")[2])
            stored = np.load(io.BytesIO(data.read(row["key"], "psf40.npy")))
            assert row["identity"] == layouts.identity(number)
            assert row["video"] == f"v_{number}-x"
            np.testing.assert_array_equal(stored, layouts.mel(10 * number + int(row["segment"])).astype(np.float16))
        assert len(clips) == 36
        assert data.front_end("psf40")["imported"]
        assert data.front_end("psf40")["normalisation"]["mean"] == 10.9915


def test_the_catalog_tells_imported_from_measured(root: Path) -> None:
    storage = open_storage(root)
    faces = run_query(
        storage,
        "SELECT DISTINCT backend, matting_backend, measured_until, verdict, face_angle_deg, quality FROM faces",
    ).to_pylist()
    assert faces == [
        {
            "backend": "import",
            "matting_backend": "import",
            "measured_until": "decode",
            "verdict": "keep",
            "face_angle_deg": None,
            "quality": None,
        }
    ]
    clips = run_query(storage, "SELECT DISTINCT decoder, vad_ratio, duration_s FROM utterances").to_pylist()
    assert clips == [{"decoder": "import", "vad_ratio": None, "duration_s": None}]
    origins = run_query(storage, "SELECT DISTINCT kind, source, licence FROM provenance ORDER BY kind").to_pylist()
    assert [(row["kind"], row["source"], row["licence"]) for row in origins] == [
        ("faces", "import:hq-voxceleb", "cc0"),
        ("speech", "import:hq-voxceleb", None),
    ]


def test_the_same_layout_gives_the_same_version(layout: Path, root: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    again = Path(shutil.copytree(root, tmp_path / "again"))
    for folder in (again, tmp_path / "other"):
        status, said, _ = voxdata_("import", "hq-voxceleb", layout, "--root", folder, *LICENCE)
        assert status == 0
        assert "12 people, 24 portraits, 36 utterances" in said
        assert said.split()[1] == voxdata.open(root).id
        assert shards(folder) == shards(root)


def test_an_imported_root_is_read_for_training(root: Path) -> None:
    with voxdata.open(root) as data:
        pairs = data.pairs("train", front_end="psf40", side_px=16, frames=100, cache="memory", length=40)
        batch = pairs[list(range(40))]
        assert batch["portrait"].shape == (40, 3, 16, 16)
        assert batch["mel"].shape == (40, 40, 100)
        assert 10 < float(batch["mel"].float().mean()) < 12
        for index in range(40):
            portrait, utterance = pairs.keys(index)
            assert portrait.split("/")[0] == utterance.split("/")[0]
            assert int(batch["person"][index]) == pairs.people.index(portrait.split("/")[0])


@pytest.mark.parametrize("rule", ["paper", "released"])
def test_somebody_in_both_lists_is_in_two_splits_only_under_the_released_rule(
    rule: str, tmp_path: Path, voxdata_: Voxdata
) -> None:
    folder, (one, two) = layouts.person_in_both_lists(tmp_path / "layout")
    root = tmp_path / "root"
    arguments = ["import", "hq-voxceleb", folder, "--root", root, "--metadata", one, "--metadata", two]
    status, said, _ = voxdata_(*arguments, "--set", f"splits.rule={rule}")
    assert status == 0
    assert "2 people, 9 portraits, 9 utterances" in said
    storage = open_storage(root)
    rows = run_query(storage, "SELECT DISTINCT identity, kind, split FROM samples ORDER BY ALL").to_pylist()
    other = "val" if rule == "released" else "train"
    expected = {"id03347": other, "id10001": "train", "id10362": "train"}
    assert [tuple(row.values()) for row in rows] == [
        (identity, kind, split) for identity, split in expected.items() for kind in ("faces", "speech")
    ]
    said_of = run_query(storage, "SELECT identity, split FROM identities ORDER BY ALL").to_pylist()
    assert {row["identity"]: row["split"] for row in said_of} == expected
    differences = run_query(storage, named_query("split-differences").sql).to_pylist()
    assert [(row["identity"], row["split"], row["released_split"], row["person_name"]) for row in differences] == (
        [] if rule == "released" else [("id03347", "train", "val", "Harry_Connick_Jr.")]
    )
    leaks = run_query(storage, named_query("split-leaks").sql).to_pylist()
    assert [(row["what"], row["name"]) for row in leaks] == ([("person", "id10362")] if rule == "released" else [])
    assert list(verify(storage)) == []
    assert run_query(storage, "SELECT identities FROM snapshots").to_pylist() == [{"identities": 2}]
    with voxdata.open(root) as data:
        assert not any(row["holdout"] for row in data.utterances("val").to_pylist())


def test_a_metadata_table_names_sex_nationality_and_the_published_split(tmp_path: Path, voxdata_: Voxdata) -> None:
    folder, table = layouts.voice2face(tmp_path / "v2f"), layouts.metadata(tmp_path / "vox1_meta.csv")
    root = tmp_path / "root"
    arguments = ["import", "voice2face", folder, "--root", root, "--metadata", table]
    status, said, _ = voxdata_(*arguments, "--set", "splits.rule=vggface-vox1")
    assert status == 0
    assert "4 people, 8 portraits, 4 utterances" in said
    rows = run_query(open_storage(root), "SELECT * FROM identities ORDER BY identity").to_pylist()
    assert [(row["identity"], row["name"], row["sex"], row["nationality"]) for row in rows] == [
        (f"id{10001 + number}", f"Person_{number}", "mf"[number % 2], "Norway") for number in range(4)
    ]
    with voxdata.open(root) as data:
        for row in data.utterances().to_pylist():
            stored = np.load(io.BytesIO(data.read(row["key"], "sphinx64.npy")))
            expected = layouts.mel(int(row["identity"][2:]) - 10001, 64).astype(np.float32).astype(np.float16)
            np.testing.assert_array_equal(stored, expected)


def test_nobody_comes_back_through_an_import(layout: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    root = tmp_path / "root"
    storage = open_storage(root, create=True)
    gone, out, by_name = (layouts.identity(number) for number in (2, 3, 4))
    words = {"person": gone, "identities": [gone], "words": [gone, layouts.name(2)]}
    content = (layout / "vox1" / "masked_faces" / layouts.name(0) / "1.jpg").read_bytes()
    contents = [hashlib.sha256(content).hexdigest()]
    tombstones.state(storage, Forgetting(**words, photos=[], contents=contents, reason="asked", at=layouts.AT))
    optouts.state(storage, out, optouts.OPTED_OUT, reason="asked", at=layouts.AT)
    optouts.state(storage, layouts.name(4), optouts.OPTED_OUT, reason="asked", at=layouts.AT)
    status, said, told = voxdata_("import", "hq-voxceleb", layout, "--root", root)
    assert status == 0
    assert "9 people, 17 portraits, 27 utterances" in said
    assert "3 people opted out or were forgotten" in told
    assert layouts.name(2) not in said + told
    assert not people(root) & {gone, out, by_name}
    everything = b"".join(path.read_bytes() for path in (root / "shards").iterdir())
    everything += b"".join(path.read_bytes() for path in (root / "fragments").rglob("*.parquet"))
    for number in (2, 3, 4):
        assert layouts.name(number).encode() not in everything
    assert content not in everything
    optouts.state(storage, out, optouts.WITHDRAWN, reason="changed their mind", at="2026-11-21T10:00:00Z")
    assert voxdata_("import", "hq-voxceleb", layout, "--root", root)[0] == 0
    assert people(root) & {gone, out, by_name} == {out}


class Runs:
    def __reduce__(self) -> object:
        return os.system, ("touch canary",)


def test_bad_files_are_rows_with_a_reason_and_run_nothing(
    copy: Path, tmp_path: Path, voxdata_: Voxdata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    faces, mels = (copy / "vox1" / kind / layouts.name(0) for kind in ("masked_faces", "mel_spectrograms"))
    (faces / "0.jpg").write_bytes((faces / "0.jpg").read_bytes()[:300])
    Image.new("RGB", (20, 20)).save(faces / "2.png")
    hostile = {"LogMel_Features": layouts.mel(0), "spkid": Runs()}
    named = f"{layouts.identity(0)}_v_"
    layouts.write(mels / f"{named}hostile.pickle", pickle.dumps(hostile))
    layouts.write(mels / f"{named}bands.pickle", pickle.dumps({"LogMel_Features": layouts.mel(0, 41)}))
    layouts.write(mels / f"{named}nan.pickle", pickle.dumps({"LogMel_Features": np.full((40, 90), np.nan)}))
    layouts.write(mels / f"{named}empty.pickle", b"")
    shutil.rmtree(copy / "vox2" / "masked_faces" / layouts.name(1))
    root = tmp_path / "root"
    status, said, told = voxdata_("import", "hq-voxceleb", copy, "--root", root)
    assert status == 0
    assert not (tmp_path / "canary").exists()
    assert "11 people, 21 portraits, 33 utterances" in said
    assert f"vox2/{layouts.name(1)}" in told
    assert "6 files cannot be read" in told
    rows = run_query(
        open_storage(root),
        "SELECT segment AS what, reason, status_detail AS detail FROM utterances WHERE verdict = 'reject' "
        "UNION ALL SELECT photos.source_key[-5:], reason, NULL FROM faces JOIN photos USING (item_id) "
        "WHERE verdict = 'reject' ORDER BY ALL",
    ).to_pylist()
    assert {row["what"]: row["reason"] for row in rows} == dict.fromkeys(
        ["hostile", "bands", "nan", "empty", "0.jpg", "2.png"], "unreadable"
    )
    details = {row["what"]: row["detail"] for row in rows}
    assert "system" in details["hostile"]
    assert "(41, 130)" in details["bands"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hq-voxceleb", "nowhere"], "neither vox1/mel_spectrograms nor vox2/mel_spectrograms"),
        (["hq-voxceleb", "layout", "--faces", "origin"], "--faces masked"),
        (["voice2face", "layout"], "holds no VGG_ALL_FRONTAL"),
        (["voice2face", "v2f"], "--metadata vox1_meta.csv"),
        (["hq-voxceleb", "layout", "--set", "splits.rule=paper"], "sources.metadata.path"),
        (["hq-voxceleb", "layout", "--set", "splits.rulle=paper"], "splits.rulle"),
        (["hq-voxceleb", "layout", "--metadata", "none.csv"], "none.csv cannot be read"),
        (["lfw", "v2f"], "<Name>/<Name>_0001.jpg"),
        (["lfw", "v2f", "--faces", "masked"], "is for hq-voxceleb"),
        (["avspeech", "v2f"], "holds no pair"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    layout: Path, tmp_path: Path, voxdata_: Voxdata, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layout").symlink_to(layout)
    layouts.voice2face(tmp_path / "v2f", people=1)
    status, _, told = voxdata_("import", *words, "--root", tmp_path / "root")
    assert status != 0
    assert said in told
    assert told.count("\n") == 1


def test_a_portrait_of_two_people_is_nobodys(copy: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    """People 0 and 2 share one, person 4 has one twice, and the two identities of one person share one."""
    place = copy / "vox1" / "masked_faces"
    shared, twice = (place / layouts.name(0) / "0.jpg"), (place / layouts.name(4) / "0.jpg")
    layouts.write(place / layouts.name(2) / "9.jpg", shared.read_bytes())
    layouts.write(place / layouts.name(4) / "9.jpg", twice.read_bytes())
    both = (place / layouts.name(6) / "0.jpg").read_bytes()
    layouts.write(place / layouts.name(8) / "9.jpg", both)
    root = tmp_path / "root"
    storage = open_storage(root, create=True)
    decide(storage, layouts.identity(8), layouts.identity(6), CONFIRMED, reason="one person", at=layouts.AT)
    status, said, told = voxdata_("import", "hq-voxceleb", copy, "--root", root)
    assert status == 0
    assert "11 people, 24 portraits" in said
    assert "1 portrait lies with two people, and was left out" in told
    asked = "SELECT DISTINCT identity, photo_sha256 FROM faces WHERE reason = 'shared_photo' ORDER BY identity"
    rejected = run_query(storage, asked).to_pylist()
    sha256 = hashlib.sha256(shared.read_bytes()).hexdigest()
    assert rejected == [{"identity": layouts.identity(number), "photo_sha256": sha256} for number in (0, 2)]
    splits = run_query(storage, "SELECT count(DISTINCT split) AS n FROM samples GROUP BY person")["n"].to_pylist()
    assert set(splits) == {1}


def test_the_table_that_the_released_code_expects_is_found_in_the_layout(
    copy: Path, tmp_path: Path, voxdata_: Voxdata
) -> None:
    rows = [f"{layouts.name(number)} ,{layouts.identity(number)} ,n1 ,f ,dev " for number in range(1, 12, 2)]
    table = "\n".join(["Name ,VoxCeleb2ID ,VGGFace2ID ,Gender ,Set ", *rows])
    (copy / "vox2" / "full_vox2_meta.csv").write_text(table)
    assert voxdata_("import", "hq-voxceleb", copy, "--root", tmp_path / "root")[0] == 0
    found = run_query(
        open_storage(tmp_path / "root"), "SELECT identity, sex, published_set FROM identities"
    ).to_pylist()
    named = {row["identity"] for row in found if (row["sex"], row["published_set"]) == ("f", "dev")}
    assert named == {layouts.identity(number) for number in range(1, 12, 2)}


def test_a_broken_shard_is_deleted_and_imported_again(
    layout: Path, root: Path, tmp_path: Path, voxdata_: Voxdata
) -> None:
    before = shards(root)
    root = Path(shutil.copytree(root, tmp_path / "copy"))
    broken = list((root / "shards").glob("train-*.tar"))
    for path in broken:
        path.write_bytes(path.read_bytes()[:2000])
    assert [problem for problem in verify(open_storage(root)) if problem.harmful]
    for path in broken:
        path.unlink()
    assert voxdata_("import", "hq-voxceleb", layout, "--root", root, *LICENCE)[0] == 0
    assert shards(root) == before
    assert [problem for problem in verify(open_storage(root)) if problem.harmful] == []


def test_everybody_forgotten_publishes_nothing(tmp_path: Path, voxdata_: Voxdata) -> None:
    folder = layouts.hq_voxceleb(tmp_path / "layout", people=1)
    storage = LocalStorage(tmp_path / "root")
    optouts.state(storage, layouts.identity(0), optouts.OPTED_OUT, reason="asked", at=layouts.AT)
    (folder / "vox2" / "mel_spectrograms").mkdir(parents=True)
    (folder / "vox2" / "masked_faces").mkdir()
    status, _, told = voxdata_("import", "hq-voxceleb", folder, "--root", tmp_path / "root")
    assert status == 1
    assert "nobody of the 1 people is left" in told
    assert not (tmp_path / "root" / "snapshots").exists()


def test_folders_that_spell_a_name_in_two_ways_are_one_person(tmp_path: Path) -> None:
    """Portraits in NFD beside log-mels in NFC; two people of the metadata whose names fold alike stay two."""
    layout = layouts.hq_voxceleb(tmp_path, people=5)
    faces, mels = (layout / "vox1" / kind for kind in ("masked_faces", "mel_spectrograms"))
    for number, portraits, heard in ((0, "Jose\u0301", "Jos\u00e9"), (2, "Ana", "Ana"), (4, "Aná", "Aná")):
        (faces / layouts.name(number)).rename(faces / portraits)
        (mels / layouts.name(number)).rename(mels / heard)
    ids = {layouts.identity(2): "Ana", layouts.identity(4): "Aná"}
    book = IdentityBook(by_id={each: Identity(identity=each, name=name) for each, name in ids.items()})
    found = find_people("hq-voxceleb", str(layout), book)
    assert found.unpaired == []
    named = {person.identity.identity: (person.identity.name, len(person.portraits)) for person in found.people}
    assert named[layouts.identity(0)] == ("Jos\u00e9", 2)
    assert {each: named[each] for each in ids} == {each: (name, 2) for each, name in ids.items()}
