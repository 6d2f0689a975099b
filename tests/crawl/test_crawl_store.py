from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pytest

from voxdata.format.errors import SourceError, StorageError
from voxdata.people.identities import IdentityBook, bucket_of, load_book
from voxdata.recipe.sections import Crawl
from voxdata.sources import kinds, taking
from voxdata.sources.folder import PhotoFolder, list_photos
from voxdata.sources.originals import PhotoStore, original_reader, originals
from voxdata.sources.reading import read_bytes
from voxdata.store.fragments import parquet_table
from voxdata.store.storage import LocalStorage


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("ann/1.jpg", "ann/album/2.PNG", "bob/1.jpg", "cleo.webp", "bob/notes.txt", "bob/.hidden.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def add(storage: LocalStorage, folder: Path, crawl: Crawl | None = None, book: IdentityBook | None = None) -> pa.Table:
    store = PhotoStore(storage, book or load_book([]), crawl or Crawl())
    store.add(PhotoFolder(path=str(folder), licence="CC0"), "corpus-0", "sources.photos")
    return store.manifest()


def log(storage: LocalStorage) -> list[dict[str, object]]:
    return [row for key in storage.keys("photos/log") for row in parquet_table(storage.read(key)).to_pylist()]


def test_a_file_belongs_to_its_first_folder_or_to_its_own_name(storage: LocalStorage, photos: Path) -> None:
    rows = {row["source_key"]: row for row in add(storage, photos).to_pylist()}
    assert {key: row["identity"] for key, row in rows.items()} == {
        "ann/1.jpg": "ann",
        "ann/album/2.PNG": "ann",
        "bob/1.jpg": "bob",
        "cleo.webp": "cleo",
    }
    assert {row["licence"] for row in rows.values()} == {"CC0"}


@pytest.mark.parametrize(
    ("names", "people"),
    [
        (["vox1/dev/id10001/1.jpg", "vox2/dev/mp4/id00012/v/1.jpg"], {"id10001", "id00012"}),
        (["train/n000012/0001_01.jpg", "test/n000017/0001_01.jpg"], {"id00012", "n000017"}),
        (["dev/1.jpg", "ann/2019/1.jpg"], {"dev", "ann"}),
        (["vox1/id10001/1.jpg", "ann/1.jpg", "bob.jpg"], {"id10001", "ann", "bob"}),
    ],
)
def test_photos_in_the_trees_of_voxceleb_are_of_its_people(
    storage: LocalStorage, tmp_path: Path, names: list[str], people: set[str]
) -> None:
    """With VoxCeleb2's official table, which has VGGFace2 ids and no names."""
    (tmp_path / "meta.csv").write_text("VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00012 ,n000012 ,m ,dev \n")
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(name.encode())
    rows = add(storage, tmp_path / "in", book=load_book([tmp_path / "meta.csv"])).to_pylist()
    assert {row["source_key"] for row in rows} == set(names)
    assert {row["identity"] for row in rows} == people


@pytest.mark.parametrize("extra", [True, False], ids=["with pillow-heif", "without it"])
def test_photos_of_any_suffix_are_found_and_the_rest_is_counted(
    storage: LocalStorage,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    extra: bool,
) -> None:
    monkeypatch.setattr("voxdata.sources.magic.find_spec", lambda name: object() if extra else None)
    caplog.set_level("INFO")
    jpeg, heic = b"\xff\xd8\xff\xe0 a", b"\0\0\0\x18ftypheic\0\0\0\0"
    files = {"IMG_0001.jpe": jpeg, "photo.jpg_large": jpeg + b"b", "0001_01": jpeg + b"c"}
    files |= {
        "scan.jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
        "IMG_2.HEIC": heic,
        "raw.cr2": b"II*\0",
        "notes.txt": jpeg,
        "a.wav": jpeg,
    }
    (tmp_path / "in" / "ann").mkdir(parents=True)
    for name, data in files.items():
        (tmp_path / "in" / "ann" / name).write_bytes(data)
    os.mkfifo(tmp_path / "in" / "ann" / "pipe.cr2")
    found = add(storage, tmp_path / "in")["source_key"].to_pylist()
    expected = {"ann/IMG_0001.jpe", "ann/photo.jpg_large", "ann/0001_01", "ann/scan.jp2"}
    if extra:
        assert set(found) == {*expected, "ann/IMG_2.HEIC"}
    else:
        assert set(found) == expected
        assert "4 files are no photos and are passed over" in caplog.text
        assert ".heic (1)" in caplog.text
        assert "1 of them is a HEIC photo; to read HEIC: pip install 'voxdata[heic]'" in caplog.text
    assert ".cr2 (2)" in caplog.text
    assert ".wav" not in caplog.text


def test_originals_come_back_byte_for_byte(storage: LocalStorage, photos: Path) -> None:
    for row in add(storage, photos).to_pylist():
        data = original_reader(storage, row["bucket"])(row["item_id"])()
        assert data == (photos / row["source_key"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["photo_sha256"]


def test_unchanged_files_are_not_read_again(
    storage: LocalStorage, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = add(storage, photos)
    parts = originals(storage).parts()
    opened: list[str] = []
    monkeypatch.setattr(kinds, "read_bytes", lambda path: opened.append(Path(path).name) or read_bytes(path))
    (photos / "bob" / "2.jpg").write_bytes(b"new")
    second = add(storage, photos)
    assert opened == ["2.jpg"]
    new = set(originals(storage).parts()) - set(parts)
    assert len(new) == 1
    assert f"b{bucket_of('bob'):04d}" in new.pop()
    assert second.num_rows == first.num_rows + 1


def test_a_photo_that_left_its_source_leaves_the_manifest_but_not_the_store(
    storage: LocalStorage, photos: Path
) -> None:
    add(storage, photos)
    (photos / "cleo.webp").unlink()
    assert "cleo" not in add(storage, photos)["identity"].to_pylist()
    assert any(item.startswith("cleo/") for item in originals(storage).done())


def test_a_lost_log_reads_again_without_storing_twice(storage: LocalStorage, photos: Path) -> None:
    first = add(storage, photos)
    parts = originals(storage).parts()
    for key in storage.keys("photos/log"):
        storage.delete(key)
    assert add(storage, photos).equals(first)
    assert originals(storage).parts() == parts


def test_a_log_that_is_ahead_of_the_store_does_not_lose_photos(storage: LocalStorage, photos: Path) -> None:
    first = add(storage, photos)
    for key in originals(storage).parts():
        storage.delete(key)
    assert add(storage, photos).equals(first)
    assert originals(storage).done() == set(first["item_id"].to_pylist())


def test_limits_leave_a_reason(storage: LocalStorage, photos: Path) -> None:
    (photos / "ann" / "3.jpg").write_bytes(b"x" * 2000)
    manifest = add(storage, photos, Crawl(max_file_mb=0.001))
    assert "ann/3.jpg" not in manifest["source_key"].to_pylist()
    assert [row["status"] for row in log(storage) if str(row["source_path"]).endswith("3.jpg")] == ["too_large"]
    capped = add(storage, photos, Crawl(photos_per_identity=1))
    assert sorted(capped["source_key"].to_pylist()) == ["ann/1.jpg", "bob/1.jpg", "cleo.webp"]


def test_a_raised_limit_is_noticed_and_a_lowered_one_keeps_what_is_stored(storage: LocalStorage, photos: Path) -> None:
    (photos / "ann" / "3.jpg").write_bytes(b"x" * 2000)
    assert "ann/3.jpg" not in add(storage, photos, Crawl(max_file_mb=0.001))["source_key"].to_pylist()
    assert "ann/3.jpg" in add(storage, photos)["source_key"].to_pylist()
    assert "ann/3.jpg" in add(storage, photos, Crawl(max_file_mb=0.001))["source_key"].to_pylist()


def test_a_file_that_cannot_be_read_leaves_a_reason_until_it_can(storage: LocalStorage, photos: Path) -> None:
    target = photos.parent / "elsewhere.jpg"
    (photos / "bob" / "2.jpg").symlink_to(target)
    for _ in range(2):
        assert "bob/2.jpg" not in add(storage, photos)["source_key"].to_pylist()
    rows = [row for row in log(storage) if str(row["source_path"]).endswith("bob/2.jpg")]
    assert [(row["status"], row["sha256"]) for row in rows] == [("unreadable", None)]
    target.write_bytes(b"there again")
    assert "bob/2.jpg" in add(storage, photos)["source_key"].to_pylist()


def test_a_changed_file_gives_a_new_photo_and_keeps_the_old_one(storage: LocalStorage, photos: Path) -> None:
    before = set(add(storage, photos)["item_id"].to_pylist())
    (photos / "bob" / "1.jpg").write_bytes(b"another picture")
    after = set(add(storage, photos)["item_id"].to_pylist())
    assert len(after - before) == len(before - after) == 1
    assert originals(storage).done() == before | after


def test_a_photo_is_stored_once_per_identity(storage: LocalStorage, photos: Path) -> None:
    for name in ("ann/copy.jpg", "bob/copy.jpg"):
        (photos / name).write_bytes(b"ann/1.jpg")
    rows = [row for row in add(storage, photos).to_pylist() if row["size_bytes"] == len(b"ann/1.jpg")]
    same = [row for row in rows if row["photo_sha256"] == hashlib.sha256(b"ann/1.jpg").hexdigest()]
    assert [(row["identity"], row["source_key"]) for row in same] == [("ann", "ann/1.jpg"), ("bob", "bob/copy.jpg")]


def test_a_photo_beside_a_folder_of_the_same_name_counts_for_it(storage: LocalStorage, photos: Path) -> None:
    (photos / "ann.jpg").write_bytes(b"flat")
    rows = add(storage, photos).to_pylist()
    assert {row["source_key"] for row in rows if row["identity"] == "ann"} == {
        "ann.jpg",
        "ann/1.jpg",
        "ann/album/2.PNG",
    }
    capped = add(storage, photos, Crawl(photos_per_identity=2)).to_pylist()
    assert {row["source_key"] for row in capped if row["identity"] == "ann"} == {"ann.jpg", "ann/1.jpg"}


def test_parts_are_bounded_and_the_log_follows_them(
    storage: LocalStorage, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(7):
        (photos / "ann" / f"n{index}.jpg").write_bytes(f"n{index}".encode())
    monkeypatch.setattr(taking, "PART_PHOTOS", 2)
    monkeypatch.setattr(taking, "LOG_ROWS", 1)
    committed: list[tuple[str, bytes]] = []
    commit = storage.commit
    monkeypatch.setattr(storage, "commit", lambda key, data: (committed.append((key, data)), commit(key, data))[1])
    manifest = add(storage, photos)
    ann = f"b{bucket_of('ann'):04d}"
    assert len(originals(storage).parts(bucket_of("ann"))) >= 5
    known: set[object] = set()
    stored: set[object] = set()
    for key, data in committed:
        if key.startswith("photos/log/"):
            known |= {f"{row['identity']}/{row['sha256']}" for row in parquet_table(data).to_pylist()}
        elif key.endswith(".parquet"):
            stored |= set(parquet_table(data)["item_id"].to_pylist())
        assert known <= stored, "a photo is in the log before it is in the store"
    assert known == set(manifest["item_id"].to_pylist())
    assert any(ann in key for key, _ in committed)


def test_names_of_the_metadata_are_resolved_and_aliases_share_a_bucket(storage: LocalStorage, tmp_path: Path) -> None:
    meta = tmp_path / "meta.csv"
    meta.write_text("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10009\tAdam_Beach\tm\tCanada\tdev\n")
    folder = tmp_path / "named"
    for name in ("Adam_Beach", "id03347", "id10362"):
        (folder / name).mkdir(parents=True)
        (folder / name / "1.jpg").write_bytes(name.encode())
    rows = {row["identity"]: row for row in add(storage, folder, book=load_book([meta])).to_pylist()}
    assert set(rows) == {"id10009", "id03347", "id10362"}
    assert rows["id03347"]["person"] == rows["id10362"]["person"]
    assert rows["id03347"]["bucket"] == rows["id10362"]["bucket"]


def test_spellings_of_one_name_are_joined_and_the_log_says_so(
    storage: LocalStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "named"
    for number, name in enumerate(("Jose\u0301", "Jos\u00e9", "jose", "Beyoncé", "beyonce")):
        (folder / str(number) / name).mkdir(parents=True)  # a place each: not every file system tells all five apart
        (folder / str(number) / name / "1.jpg").write_bytes(name.encode())
    book = load_book([])
    store = PhotoStore(storage, book, Crawl())
    for number in range(5):
        source = PhotoFolder(path=str(folder / str(number)))
        store.add(source, f"corpus-{number}", "sources.photos")
    rows = store.manifest().to_pylist()
    assert sorted(row["identity"] for row in rows) == ["Beyoncé", "Beyoncé", *["Jos\u00e9"] * 3]
    assert len({row["item_id"] for row in rows}) == 5
    both = folder / "both"
    for name in ("Zoë", "zoe"):
        (both / name).mkdir(parents=True)
        for number in range(3):
            (both / name / f"{number}.jpg").write_bytes(f"{name}{number}".encode())
    found = add(storage, both, crawl=Crawl(photos_per_identity=4), book=book)
    assert found["identity"].to_pylist() == ["Zoë"] * 4
    assert "1 people have several folders, which are joined: Zoë + zoe = Zoë" in caplog.text


def test_a_folder_that_is_two_people_is_refused_by_name(storage: LocalStorage, tmp_path: Path) -> None:
    meta = tmp_path / "meta.csv"
    meta.write_text("VoxCeleb1 ID\tVGGFace1 ID\nid10001\tMaria_Lopez\nid10002\tMaría_López\n", encoding="utf-8")
    (tmp_path / "in" / "Maria-Lopez").mkdir(parents=True)
    (tmp_path / "in" / "Maria-Lopez" / "1.jpg").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"sources\.photos\.path: 'Maria-Lopez' is the name of 2 people: id10001"):
        add(storage, tmp_path / "in", book=load_book([meta]))


def test_names_that_are_not_utf8_become_rows(storage: LocalStorage, photos: Path) -> None:
    with open(os.fsencode(photos) + b"/ann/\xff.jpg", "wb") as file:
        file.write(b"odd")
    assert "ann/\\xff.jpg" in add(storage, photos)["source_key"].to_pylist()


def test_sources_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"sources\.photos\.path=.*none is not there"):
        list_photos(str(tmp_path / "none"), "sources.photos.path")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("")
    with pytest.raises(SourceError, match="holds no photo"):
        list_photos(str(tmp_path / "texts"), "sources.photos.path").taken()


@pytest.mark.parametrize("share", [(0.33, 0.67), (0.0, 1.0)], ids=["inside", "all of it"])
def test_stored_photos_whose_table_is_zeroed_end_the_crawl_in_one_line(
    storage: LocalStorage, photos: Path, share: tuple[float, float]
) -> None:
    """As a bad disk leaves a file: its length, and here its first and last letters, are right."""
    add(storage, photos)
    part = originals(storage).parts()[0]
    data = bytearray(storage.read(part))
    start, end = (int(each * len(data)) for each in share)
    data[start:end] = bytes(end - start)
    data[-8:] = storage.read(part)[-8:]
    storage.commit(part, bytes(data))
    with pytest.raises(StorageError, match=rf"^{part} under .* is damaged \(.*\); delete it"):
        add(storage, photos)
