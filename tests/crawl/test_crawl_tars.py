"""Tars of photos that others have packed, img2dataset's first."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.crawl.finding import found, source
from voxdata.format.errors import SourceError
from voxdata.people.identities import load_book
from voxdata.recipe.sections import Crawl
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.sources.originals import PhotoStore, original_reader
from voxdata.store.storage import open_storage


def img2dataset_output(folder: Path, photos: dict[str, bytes]) -> Path:
    """A shard as img2dataset writes it: tar with jpg, txt and json, Parquet beside it with what failed, and stats."""
    rows = []
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for number, (name, data) in enumerate(photos.items()):
            key = f"{number:09d}"
            row = {
                "url": f"https://h/{key}.jpg",
                "caption": name,
                "key": key,
                "status": "success",
                "error_message": None,
            }
            row |= {"sha256": hashlib.sha256(data).hexdigest(), "license": "CC BY-SA 2.0", "creator": "Jo"}
            rows.append(row)
            members = {"jpg": data, "txt": name.encode(), "json": json.dumps(row, indent=4).encode()}
            for suffix, content in members.items():
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    failed = {"key": "000000009", "url": "https://h/gone.jpg", "caption": "Ann Lee", "status": "failed_to_download"}
    pq.write_table(pa.Table.from_pylist([*rows, failed]), folder / "00000.parquet")
    (folder / "00000_stats.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    corpus = tmp_path_factory.mktemp("corpus")
    write_corpus(corpus, CorpusSettings(people=2, photos_per_person=1, clips_per_person=0, seed=3))
    files = sorted((corpus / "photos").rglob("*.jpg"))
    return dict(zip(("Ann Lee", "Bo"), (path.read_bytes() for path in files[:2]), strict=True))


def test_img2datasets_tars_are_stored_and_what_it_did_not_get_is_a_list(
    tmp_path: Path, photos: dict[str, bytes]
) -> None:
    folder = img2dataset_output(tmp_path, photos)
    (failed,) = found(source(kind="list", path=str(folder), only_failed=True))
    assert (failed.words, failed.key) == ("Ann Lee", "https://h/gone.jpg")
    assert len(found(source(kind="list", path=str(folder)))) == 3
    storage = open_storage(tmp_path / "root", create=True)
    store = PhotoStore(storage, load_book([]), Crawl())
    store.add(source(kind="webdataset", path=str(folder)), "corpus-0", "sources.photos")
    rows = {row["identity"]: row for row in store.manifest().to_pylist()}
    assert {name: original_reader(storage, row["bucket"])(row["item_id"])() for name, row in rows.items()} == photos
    row = rows["Bo"]
    assert row["source_key"] == "00000.tar!000000001.jpg"
    assert (row["licence"], row["author"], row["page_url"]) == ("CC-BY-SA-2.0", "Jo", "https://h/000000001.jpg")
    again = PhotoStore(storage, load_book([]), Crawl())
    again.add(source(kind="webdataset", path=str(folder)), "corpus-0", "sources.photos")
    assert again.manifest() == store.manifest()
    assert len(storage.keys("photos/log")) == 1


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_a_tar_names_its_people_in_json_cls_txt_or_folders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    members = {
        "a.jpg": b"1",
        "a.json": b'{"identity": "Ann", "celebrity": "Anna"}',
        "b.png": b"2",
        "b.cls": b"7\n",
        "Cy/c.jpg": b"3",
        "d.jpg": b"4",
        "d.json": b"no json",
        "Di/e.jpg": b"5",
        "Di/e.json": b"[" * 200_000,
        "Ed/f.jpg": b"6",
        "Ed/f.json": b'{"identity": true}',
    }
    path = tar_of(tmp_path / "x.tar", members)
    with caplog.at_level(logging.WARNING):
        offers = found(source(kind="webdataset", path=str(path)))
    assert [offer.words for offer in offers] == ["Ann", "7", "Cy", "Di", "Ed"]
    assert "1 photos name nobody" in caplog.text
    assert "x.tar!d.jpg" in caplog.text
    (offer,) = found(source(kind="webdataset", path=str(path), identity_field="celebrity"))
    assert offer.words == "Anna"
    with pytest.raises(SourceError, match=r"holds no photo of anybody.*6 name nobody"):
        found(source(kind="webdataset", path=str(path), identity_field="who"))
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(SourceError, match=r"x\.tar cannot be read"):
        found(source(kind="webdataset", path=str(path)))
