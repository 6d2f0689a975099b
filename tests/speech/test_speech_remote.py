"""Photos and speech under an fsspec URL: what a folder of the same files gives, read many at a time, and errors."""

from __future__ import annotations

import errno
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from voxdata.format.errors import SourceError
from voxdata.people.identities import IdentityBook
from voxdata.sources import reading
from voxdata.sources.clips import clip_reader, clip_readers, find_utterances, inventory
from voxdata.sources.folder import PhotoFolder, list_photos
from voxdata.sources.photo_list import PhotoList
from voxdata.sources.photo_list import check as check_list
from voxdata.sources.photo_tars import PhotoTars
from voxdata.sources.photo_tars import listed as listed_tars
from voxdata.sources.speech_files import SpeechFolder
from voxdata.sources.speech_tars import SpeechTars
from voxdata.store.storage import open_storage

URL = "memory://remote-sources"
JPEG = b"\xff\xd8\xff\xe0"
FILES = {
    "photos/ann/1.jpg": JPEG + b"1",
    "photos/ann/album/2": JPEG + b"two",
    "photos/bo.png": b"a picture of Bo",
    "photos/ann/notes.txt": b"no photo",
    "photos/.hidden/3.jpg": JPEG,
    "photos/a b#c/ü?4.jpg": JPEG + b"four",
    "wav/ann/video/00001.wav": b"RIFF one",
    "wav/bo/video/00002.wav": b"RIFF two",
}


def tar(**members: bytes) -> bytes:
    """An uncompressed tar of these members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The same files in a folder and under `URL`."""
    files = {**FILES, "tars/0.tar": tar(x__json=b'{"identity": "ann"}', x__wav=b"RIFF three", x__jpg=JPEG + b"5")}
    memory = fsspec.filesystem("memory")
    for name, data in files.items():
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        memory.pipe_file(f"/remote-sources/{name}", data)
    yield tmp_path / "here"
    memory.rm("/remote-sources", recursive=True)


def test_photos_under_a_url_are_those_of_the_folder(folder: Path) -> None:
    here, there = list_photos(f"{folder}/photos", "s"), list_photos(f"{URL}/photos", "s")
    told = [(file.key, file.folder, file.size_bytes) for file in there.files]
    assert told == [(file.key, file.folder, file.size_bytes) for file in here.files]
    assert {file.key: reading.read_bytes(file.path) for file in there.files} == {
        key.removeprefix("photos/"): FILES[key]
        for key in FILES
        if key.startswith("photos/") and "." + "hidden" not in key and not key.endswith(".txt")
    }
    assert (dict(there.passed), list(there.remarks)) == (dict(here.passed), list(here.remarks))


@pytest.mark.parametrize("place", ["wav", "tars", "tars/0.tar"])
def test_clips_under_a_url_are_those_of_the_folder(folder: Path, tmp_path: Path, place: str) -> None:
    found = []
    for number, base in enumerate((str(folder), URL)):
        settings = SpeechFolder(path=f"{base}/{place}")
        storage = open_storage(tmp_path / str(number), create=True)
        rows = inventory(storage, find_utterances(settings, IdentityBook(), "corpus-0")).to_pylist()
        assert all(row.pop("path").startswith(base) for row in rows)
        found.append(rows)
    assert found[0] == found[1] != []
    assert all(row["audio_sha256"] for row in found[0])


def test_members_of_tars_under_a_url_are_read_where_they_lie(folder: Path) -> None:
    (clip,) = find_utterances(SpeechTars(path=f"{URL}/tars"), IdentityBook(), "s").to_pylist()
    assert clip_reader(clip)() == b"RIFF three"
    (photo,) = listed_tars(PhotoTars(path=f"{URL}/tars"), "s").files
    assert (photo.words, photo.read()) == ("ann", JPEG + b"5")


def test_an_object_that_did_not_change_is_not_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    settings = SpeechFolder(path=f"{URL}/wav")
    first = inventory(storage, find_utterances(settings, IdentityBook(), "s"))
    fsspec.filesystem("memory").pipe_file("/remote-sources/wav/ann/video/00001.wav", b"RIFF other")
    read: list[str] = []
    sha256_of_file = reading.sha256_of_file
    monkeypatch.setattr("voxdata.sources.clips.sha256_of_file", lambda path: read.append(path) or sha256_of_file(path))
    again = inventory(storage, find_utterances(settings, IdentityBook(), "s"))
    assert read == [f"{URL}/wav/ann/video/00001.wav"]
    changed = [a != b for a, b in zip(first.to_pylist(), again.to_pylist(), strict=True)]
    assert changed == [True, False]


def test_an_object_that_is_gone_ends_the_stage_and_becomes_no_verdict(folder: Path, tmp_path: Path) -> None:
    found = find_utterances(SpeechFolder(path=f"{URL}/wav"), IdentityBook(), "s")
    fsspec.filesystem("memory").rm("/remote-sources/wav/bo/video/00002.wav")
    with pytest.raises(SourceError, match=r"memory://remote-sources/wav/bo.* was listed, and now cannot be read"):
        inventory(open_storage(tmp_path / "root", create=True), found)


def test_errors_of_drivers_have_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    class RefusedError(Exception):
        """As botocore's, which is no `OSError`."""

    memory = fsspec.filesystem("memory")
    for raised, number in (
        (RefusedError("no endpoint"), errno.EIO),
        (PermissionError("Forbidden"), errno.EIO),
        (OSError("odd"), errno.EIO),
        (FileNotFoundError("x"), errno.ENOENT),
    ):

        def fail(*words: object, error: Exception = raised, **named: object) -> bytes:
            raise error

        monkeypatch.setattr(type(memory), "cat_file", fail)
        with pytest.raises(OSError, match="memory://a/b") as caught:
            reading.read_bytes("memory://a/b")
        assert caught.value.errno == number


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "memory://nowhere/photos",
            "sources.photos.path=memory://nowhere/photos is not there; check bucket and folder",
        ),
        ("https://site.example/photos", "a website has no list of its files; name it as url of a source of kind=site"),
        ("nosuch://bucket/photos", "sources.photos.path=nosuch://bucket/photos: .*nosuch"),
    ],
)
def test_a_url_that_cannot_be_listed_is_one_line(path: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        list_photos(path, "sources.photos.path")
    assert "\n" not in str(caught.value)


def test_a_list_of_photos_is_read_from_a_disk_only() -> None:
    with pytest.raises(SourceError, match=r"memory://a/list\.csv: this is read from a disk only"):
        check_list(PhotoList(kind="list", path="memory://a/list.csv"), "sources.photos")


def test_reading_goes_ahead_in_order_within_its_memory() -> None:
    running, most, lock, held = 0, 0, threading.Lock(), threading.Semaphore(0)

    def read(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running >= 3:
                held.release(1000)
        held.acquire()
        with lock:
            running -= 1
        if number == 7:
            raise OSError(errno.EIO, "a disk")
        return number * number

    results = []
    size = reading.AHEAD_BYTES // 3
    for number, result in reading.ahead(range(20), read, lambda _: size):
        if number == 7:
            with pytest.raises(OSError, match="a disk"):
                result()
        else:
            results.append(result())
    assert results == [number * number for number in range(20) if number != 7]
    assert most == 3


def test_objects_on_s3_are_read_to_their_end_and_the_empty_ones_are_empty(
    s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 refuses a range that begins where the object ends, other than a disk."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(reading, "PIECE_BYTES", 4)
    s3 = fsspec.filesystem("s3", skip_instance_cache=True)
    s3.mkdirs("ends", exist_ok=True)
    for name, data in {"empty": b"", "short": b"abc", "whole": b"abcdefgh"}.items():
        s3.pipe_file(f"ends/{name}", data)
        url = f"s3://ends/{name}"
        assert reading.read_bytes(url) == data
        assert reading.read_bytes(url, len(data), 4) == b""
        assert reading.sha256_of_file(url) == hashlib.sha256(data).hexdigest()


def test_clips_that_are_measured_one_by_one_are_read_ahead_once_each(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CALLS_AHEAD", 3)
    memory = fsspec.filesystem("memory")
    clips = {f"{URL}/many/{number}.wav": b"RIFF" * (number + 1) for number in range(8)}
    for path, data in clips.items():
        memory.pipe_file(path, data)
    asked, lock, whole = list[str](), threading.Lock(), reading.read_bytes
    both = threading.Barrier(2, timeout=20)

    def watched(path: str, *span: int) -> bytes:
        with lock:
            asked.append(path)
            place = len(asked)
        if place in (2, 3):
            both.wait()  # passes when two are on their way at a time
        return whole(path, *span)

    monkeypatch.setattr("voxdata.sources.clips.read_bytes", watched)
    rows = [{"path": path, "size_bytes": len(data), "audio_sha256": "0"} for path, data in clips.items()]
    reads = clip_readers(rows)
    assert asked == []
    assert [read() for read in reads] == list(clips.values())
    assert sorted(asked) == sorted(clips)
    assert reads[0]() == b"RIFF"  # once more, as another try asks for it

    asked.clear()
    monkeypatch.setattr(reading, "AHEAD_BYTES", 0)  # nothing fits beside what is asked for
    read = clip_readers(rows)[0]
    assert (read(), asked) == (b"RIFF", [rows[0]["path"]])


def test_settings_of_a_folder_take_a_url() -> None:
    assert PhotoFolder(path="s3://bucket/photos").path == "s3://bucket/photos"
