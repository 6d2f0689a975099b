"""Versions written in other projects' layouts, and read back as those projects read them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import voxdata
from tests.catalog import small_root
from tests.catalog.small_root import SmallRoot
from tests.exchange import layouts
from tests.exchange.conftest import Voxdata
from voxdata.catalog.tags import tag
from voxdata.dataset.opened import Dataset
from voxdata.exchange.datasheet import datasheet
from voxdata.exchange.export_facts import facts_of
from voxdata.exchange.import_layouts import find_people
from voxdata.exchange.import_snapshot import import_people, import_recipe
from voxdata.forgetting import outputs
from voxdata.people import optouts
from voxdata.people.identities import load_book
from voxdata.store.storage import open_storage

SPLITS = ("train", "val", "test")
LICENCE = "cc | by\n**4.0**"


def imported(folder: Path, root: Path, *sets: str, table: Path | None = None) -> Path:
    metadata = [str(table)] if table else []
    people = find_people("hq-voxceleb", str(folder), load_book(metadata)).people
    recipe = import_recipe("hq-voxceleb", people, [f"sources.photos.licence={json.dumps(LICENCE)}", *sets])
    storage = open_storage(root, create=True)
    import_people(storage, "hq-voxceleb", people, metadata, recipe, at=layouts.AT, code="1")
    return root


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    settings = ["splits.val_share=0.25", "splits.test_share=0.25", "splits.holdout_share=0.3", "splits.holdout_by=clip"]
    return imported(layouts.hq_voxceleb(folder / "layout"), folder / "root", *settings)


@pytest.fixture
def root(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "root"))


def portraits(data: Dataset) -> dict[str, tuple[str, str]]:
    """sha256 of a portrait -> whose, in which split."""
    rows = data.portraits().to_pylist()
    read = {hashlib.sha256(data.read(row["key"], row["format"])).hexdigest(): row for row in rows}
    return {sha256: (row["identity"], row["split"]) for sha256, row in read.items()}


def clips(data: Dataset, *, held_out: bool) -> dict[str, tuple[str, str]]:
    """sha256 of a log-mel -> whose, in which split."""
    rows = [row for row in data.utterances().to_pylist() if held_out or not row["holdout"]]
    read = {hashlib.sha256(data.read(row["key"], "psf40.npy")).hexdigest(): row for row in rows}
    return {sha256: (row["identity"], row["split"]) for sha256, row in read.items()}


def test_sf2f_folders_are_what_its_loader_looks_for(root: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    out = tmp_path / "VoxCeleb"
    assert voxdata_("export", "sf2f", out, "--root", root)[0] == 0
    wanted = json.loads((out / "split.json").read_text())
    seen: dict[str, str] = {}
    for split in SPLITS:
        for list_ in ("vox1", "vox2"):
            faces, mels = (
                {path.name for path in (out / list_ / kind).iterdir()} for kind in ("masked_faces", "mel_spectrograms")
            )
            for name in faces & mels & set(wanted[list_][split]):
                seen[name] = split
                assert list_ == f"vox{1 + int(name.rpartition('_')[2]) % 2}"
                for path in (out / list_ / "masked_faces" / name).iterdir():
                    with Image.open(path) as image:
                        assert image.size == (32, 32)
                for path in (out / list_ / "mel_spectrograms" / name).iterdir():
                    content = pickle.loads(path.read_bytes())
                    assert path.name == "_".join(content[part] for part in ("spkid", "clipid", "wavid")) + ".pickle"
                    assert content["LogMel_Features"].dtype == np.float64
                    assert content["LogMel_Features"].shape[0] == 40
                    assert path.read_bytes()[:2] == b"\x80\x02"
    with voxdata.open(root) as data:
        assert seen == {row["name"]: row["split"] for row in data.portraits().to_pylist()}
        assert set(seen.values()) == set(SPLITS)


def test_what_sf2f_gets_can_be_imported_again_unchanged(root: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    status, said, told = voxdata_("export", "sf2f", tmp_path / "out", "--root", root)
    assert status == 0
    again = imported(tmp_path / "out", tmp_path / "again", "splits.val_share=0.25", "splits.test_share=0.25")
    with voxdata.open(root) as before, voxdata.open(again) as after:
        assert portraits(after) == portraits(before)
        assert clips(after, held_out=True) == clips(before, held_out=False)
        held_out = len(before.utterances()) - len(after.utterances())
        assert held_out > 0
        assert f"{held_out} utterances that are held out of training were left out" in told
        assert f"12 people, 24 portraits, {36 - held_out} utterances" in said


def test_names_that_are_no_folders_or_not_unique_give_way_to_ids(tmp_path: Path, voxdata_: Voxdata) -> None:
    names = ["../../evil", "Twin", "Twin", "", ".hidden", "id10006", "a" * 300]
    table = tmp_path / "vox1_meta.csv"
    with open(table, "w", newline="") as file:
        rows = [[f"id{10001 + number}", name, "m", "x", "dev"] for number, name in enumerate(names)]
        csv.writer(file, delimiter="\t").writerows(
            [["VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set"], *rows]
        )
    for number in range(len(names)):
        place = tmp_path / "layout" / "vox1"
        layouts.write(place / "masked_faces" / f"id{10001 + number}" / "1.jpg", layouts.jpeg(number))
        content = pickle.dumps({"LogMel_Features": layouts.mel(number)})
        layouts.write(place / "mel_spectrograms" / f"id{10001 + number}" / f"id{10001 + number}_v_1.pickle", content)
    root = imported(tmp_path / "layout", tmp_path / "root", table=table)
    out = tmp_path / "deep" / "er" / "out"
    assert voxdata_("export", "sf2f", out, "--root", root)[0] == 0
    found = {path.name for path in (out / "vox1" / "masked_faces").iterdir()}
    assert found == {
        *("id10001", "Twin_id10002", "Twin_id10003", "id10004", "id10005"),
        *("id10006", "id10007"),
    }
    assert not list(tmp_path.rglob("*evil*"))


def test_hugging_face_loads_every_portrait_and_log_mel(
    root: Path, tmp_path: Path, voxdata_: Voxdata, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    datasets: Any = pytest.importorskip("datasets", reason="datasets is not installed")
    out = tmp_path / "out"
    assert voxdata_("export", "huggingface", out, "--root", root)[0] == 0
    faces, speech = (
        datasets.load_dataset(str(out), kind, cache_dir=str(tmp_path / "hf")) for kind in ("faces", "speech")
    )
    named = {"train": "train", "validation": "val", "test": "test"}
    with voxdata.open(root) as data:
        rows = {row["key"]: row for row in data.portraits().to_pylist()}
        for split, found in faces.items():
            for row in found.cast_column("image", datasets.Image(decode=False)):
                mine = rows.pop(row["key"])
                assert row["image"]["bytes"] == data.read(row["key"], "jpg")
                assert (row["identity"], named[split], row["backend"]) == (mine["identity"], mine["split"], "import")
            assert found[0]["image"].size == (32, 32)
        assert not rows
        rows = {row["key"]: row for row in data.utterances().to_pylist()}
        for split, found in speech.items():
            for row in found.with_format("numpy"):
                mine = rows.pop(str(row["key"]))
                stored = np.load(io.BytesIO(data.read(str(row["key"]), "psf40.npy")))
                np.testing.assert_array_equal(row["mel_psf40"].T, stored)
                assert (bool(row["holdout"]), named[split]) == (mine["holdout"], mine["split"])
        assert not rows


def test_the_lines_that_the_export_prints_load_it(
    root: Path, tmp_path: Path, voxdata_: Voxdata, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    datasets: Any = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    _, said, _ = voxdata_("export", "huggingface", "out", "--root", root)
    lines = re.findall(r"datasets\.load_dataset\([^)]*\)", said)
    loaded = [eval(line, {"datasets": datasets}) for line in lines]
    with voxdata.open(root) as data:
        rows = [data.portraits().num_rows, data.utterances().num_rows]
    assert [sum(split.num_rows for split in each.values()) for each in loaded] == rows


def test_parquet_files_are_named_and_hashed_in_the_metadata(root: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    out = tmp_path / "out"
    assert voxdata_("export", "huggingface", out, "--root", root)[0] == 0
    listed = json.loads((out / "croissant.json").read_text())["distribution"]
    hashes = {entry["@id"]: entry["sha256"] for entry in listed if entry["@type"] == "cr:FileObject"}
    files = {str(path.relative_to(out)): path for path in out.rglob("*.parquet")}
    assert hashes == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    splits: dict[str, str] = {}
    for path in files.values():
        for row in pq.read_table(path, columns=["person", "split"]).to_pylist():
            assert splits.setdefault(row["person"], row["split"]) == row["split"]
            assert path.name.startswith({"val": "validation"}.get(row["split"], row["split"]))


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
def test_croissant_is_valid_and_reads_the_rows(root: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    mlcroissant: Any = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    out = tmp_path / "out"
    assert voxdata_("export", "huggingface", out, "--root", root)[0] == 0
    assert voxdata_("export", "croissant", root / "croissant.json", "--root", root)[0] == 0
    exported, shards = (mlcroissant.Dataset(str(place / "croissant.json")) for place in (out, root))
    for each in (exported, shards):
        assert each.metadata.ctx.issues.report() == ""
    with voxdata.open(root) as data:
        assert exported.metadata.version == f"1.0.0+{data.id}"
        read = list(exported.records("faces"))
        assert {row["faces/key"].decode() for row in read} == set(data.portraits()["key"].to_pylist())
        assert read[0]["faces/image"].size == (32, 32)
        members = list(shards.records("faces"))
        assert {row["faces/suffix"] for row in members} == {b"jpg", b"json"}
        assert len(members) == 48


def test_the_datasheet_says_what_the_catalog_knows(root: Path) -> None:
    with voxdata.open(root) as data:
        text = datasheet(facts_of(data))
        counts = data.snapshot.counts
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        *("Motivation", "Composition", "Collection process", "Preprocessing, cleaning, labelling"),
        *("Uses", "Distribution", "Maintenance"),
    ]
    for split in SPLITS:
        found = counts[split]
        assert f"| {split} | {found['identities']} | {found['portraits']} | {found['utterances']} |" in text
    assert "| import:hq-voxceleb | cc \\| by \\*\\*4.0\\*\\* | 24 |" in text
    assert "24 of 24 portraits and 36 of 36 utterances were imported" in text
    assert "nothing of them was measured or filtered here" in text
    assert "purity" not in text
    assert "None" not in text
    assert "nan" not in text.replace("nance", "")
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") in range(3, 7) for line in tables)


def test_every_export_is_noted_for_forgetting(root: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    wanted = {form: tmp_path / f"out-{form}" for form in ("sf2f", "huggingface", "croissant", "datasheet")}
    for form, out in wanted.items():
        assert voxdata_("export", form, out, "--root", root)[0] == 0
    storage = open_storage(root)
    noted = outputs.known(storage)
    assert {(each.kind, each.path) for each in noted} == {("export", str(out)) for out in wanted.values()}
    assert {each.snapshot_id for each in noted} == {voxdata.open(root).id}
    for each in noted:
        outputs.delete(storage, each)
    assert not any(out.exists() for out in wanted.values())
    assert outputs.known(storage) == []


def test_forgetting_deletes_exports_and_a_later_import_brings_nobody_back(
    pristine: Path, root: Path, tmp_path: Path, voxdata_: Voxdata
) -> None:
    gone = layouts.identity(3)
    out, sheet = tmp_path / "sf2f", tmp_path / "datasheet.md"
    assert voxdata_("export", "sf2f", out, "--root", root)[0] == 0
    assert voxdata_("export", "datasheet", sheet, "--root", root)[0] == 0
    assert voxdata_("forget", gone, "--root", root, "--reason", "asked", "--yes")[0] == 0
    assert (out.exists(), sheet.exists()) == (False, False)
    assert voxdata_("import", "hq-voxceleb", pristine.parent / "layout", "--root", root)[0] == 0
    with voxdata.open(root) as data:
        assert gone not in data.portraits()["person"].to_pylist()
        assert len(set(data.portraits()["person"].to_pylist())) == 11
    assert voxdata_("verify", "--forgotten", "--root", root)[0] == 0
    assert voxdata_("export", "sf2f", out, "--root", root)[0] == 0
    assert not list(out.rglob(f"*{layouts.name(3)}*"))


def test_an_export_that_breaks_off_is_noted_and_lacks_its_last_file(
    root: Path, tmp_path: Path, voxdata_: Voxdata
) -> None:
    tar = max((root / "shards").glob("*-speech-*.tar"))
    tar.write_bytes(tar.read_bytes()[:600])
    for form, last in (("sf2f", "split.json"), ("huggingface", "README.md")):
        status, _, told = voxdata_("export", form, tmp_path / form, "--root", root)
        assert status == 1
        assert "voxdata verify" in told
        assert not (tmp_path / form / last).exists()
        assert any((tmp_path / form).iterdir())
    noted = {each.path for each in outputs.known(open_storage(root))}
    assert noted == {str(tmp_path / form) for form in ("sf2f", "huggingface")}


@pytest.mark.parametrize("form", ["sf2f", "huggingface"])
def test_after_ctrl_c_the_same_export_begins_anew(
    root: Path, tmp_path: Path, voxdata_: Voxdata, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the line about an interruption says."""
    arguments = ("export", form, tmp_path / "out", "--root", root)
    written: list[Path] = []

    def interrupted(*_: object, **__: object) -> None:
        written.extend((tmp_path / "out").rglob("*.*"))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        module = "export_sf2f" if form == "sf2f" else "export_parquet"
        patch.setattr(f"voxdata.exchange.{module}.write_attributions", interrupted)
        status, _, told = voxdata_(*arguments)
    assert (status, "the same command resumes there" in told) == (130, True)
    assert len(written) > 2
    assert list((tmp_path / "out").iterdir()) == []
    assert voxdata_(*arguments)[0] == 0


def test_nobody_who_opted_out_since_is_given_away(root: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    optouts.state(open_storage(root), layouts.identity(3), optouts.OPTED_OUT, reason="asked", at=layouts.AT)
    for form in ("sf2f", "huggingface", "croissant", "datasheet"):
        status, _, told = voxdata_("export", form, tmp_path / "out", "--root", root)
        assert status == 1
        assert "holds 1 person who opted out" in told
        assert layouts.identity(3) not in told
    assert not (tmp_path / "out").exists()
    assert outputs.known(open_storage(root)) == []


def test_an_older_version_is_exported_by_its_tag(root: Path, tmp_path: Path, voxdata_: Voxdata) -> None:
    storage = open_storage(root)
    before = voxdata.open(root).id
    tag(storage, "paper-1", before, at=layouts.AT)
    imported(layouts.hq_voxceleb(tmp_path / "more", people=14), root)
    assert voxdata.open(root).id != before
    assert voxdata_("export", "datasheet", tmp_path / "old.md", "--root", root, "--snapshot", "paper-1")[0] == 0
    assert voxdata_("export", "datasheet", tmp_path / "new.md", "--root", root)[0] == 0
    old, new = ((tmp_path / name).read_text() for name in ("old.md", "new.md"))
    assert ("12 people, 24 portraits, 36 utterances" in old, f"`{before}`" in old) == (True, True)
    assert "14 people, 28 portraits, 42 utterances" in new


def test_a_built_version_has_all_its_front_ends_and_sf2f_wants_its_own(tmp_path: Path, voxdata_: Voxdata) -> None:
    root = tmp_path / "root"
    SmallRoot(open_storage(root, create=True)).publish()
    status, _, told = voxdata_("export", "sf2f", tmp_path / "sf2f", "--root", root)
    assert status == 1
    assert "speech.measure.front_ends=[psf40]" in told
    assert voxdata_("export", "sf2f", tmp_path / "sf2f", "--root", root, "--front-end", "torch40")[0] == 0
    assert voxdata_("export", "huggingface", tmp_path / "hf", "--root", root)[0] == 0
    table = pq.read_table(tmp_path / "hf" / "speech" / "validation-00000-of-00001.parquet")
    assert np.array(table["mel_torch40"][0].as_py()).shape == (20, 40)
    text = (tmp_path / "hf" / "README.md").read_text()
    assert "0 of 10 portraits and 0 of 20 utterances were imported" in text
    assert "| faces | face\\_angle | 10 | 10 |" in text
    names = json.loads((tmp_path / "sf2f" / "split.json").read_text())["vox2"]
    assert (names["test"], names["val"]) == (["Person_8"], ["Person_9"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sf2f", "full"], "full is not empty"),
        (["huggingface", "file"], "cannot be made"),
        (["datasheet", "full"], "is a folder"),
        (["datasheet", "file/below.md"], "cannot be written"),
        (["sf2f", "out", "--front-end", "torch40"], "has psf40"),
        (["huggingface", "out", "--front-end", "psf40"], "is for sf2f"),
        (["sf2f", "out", "--snapshot", "none"], "no snapshot 'none'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    root: Path, tmp_path: Path, voxdata_: Voxdata, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    layouts.write(tmp_path / "full" / "mine.txt", b"mine")
    (tmp_path / "file").write_bytes(b"")
    status, _, told = voxdata_("export", *words, "--root", root)
    assert status != 0
    assert said in told
    assert told.count("\n") == 1
    assert (tmp_path / "full" / "mine.txt").read_bytes() == b"mine"
    assert not (tmp_path / "out").exists()


def test_exports_name_the_authors_of_the_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, voxdata_: Voxdata
) -> None:
    photos = small_root.photos
    stated = {"licence": "CC-BY-4.0", "author": "Jo *Doe*", "attribution": "Jo, CC BY", "page_url": "https://h/p"}
    told = {1: stated, 2: {**stated, "author": "Al"}}
    monkeypatch.setattr(small_root, "photos", lambda n: [{**row, **told.get(n, {})} for row in photos(n)])
    root = tmp_path / "root"
    SmallRoot(open_storage(root, create=True)).publish()
    assert voxdata_("export", "huggingface", tmp_path / "hf", "--root", root)[0] == 0
    assert voxdata_("export", "sf2f", tmp_path / "sf2f", "--root", root, "--front-end", "torch40")[0] == 0
    listed = list(csv.DictReader(io.StringIO((tmp_path / "hf" / "attributions.csv").read_text())))
    assert (tmp_path / "sf2f" / "attributions.csv").read_bytes() == (tmp_path / "hf" / "attributions.csv").read_bytes()
    assert len(listed) == 10  # everybody's portrait
    named = {row["identity"]: (row["author"], row["attribution"], row["page_url"]) for row in listed if row["author"]}
    assert named == {
        "id00001": ("Jo *Doe*", "Jo, CC BY", "https://h/p"),
        "id00002": ("Al", "Jo, CC BY", "https://h/p"),
    }
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "2 portraits are cut from photos whose authors are known" in card
    assert "| Jo \\*Doe\\* | CC-BY-4.0 | 1 |" in card
