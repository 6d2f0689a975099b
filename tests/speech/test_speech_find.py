"""Finding speech: VoxCeleb's trees, generic folders, flat files, names that are trouble."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest

from voxdata.format.errors import SourceError
from voxdata.people.identities import Identity, IdentityBook, bucket_of
from voxdata.sources.clips import FOUND, clip_bytes, find_utterances, inventory
from voxdata.sources.magic import is_speech
from voxdata.sources.speech_files import SpeechFolder
from voxdata.store.storage import open_storage

BOOK = IdentityBook(
    by_id={
        "id10001": Identity(identity="id10001", name="A.J._Buckley"),
        "id10002": Identity(identity="id10002"),
    },
    aliases={"id10002": "id90001"},
)


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def column(table: pa.Table, name: str) -> list[object]:
    return table[name].to_pylist()


def test_voxceleb1_from_the_folder_above_wav(tmp_path: Path) -> None:
    lay(tmp_path, "wav/id10002/vid/00001.wav", "wav/id10001/1zcIwhmdeo4/00002.wav", "photos/id10001/a.jpg", "meta.csv")
    found = find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "vox1")
    assert found.schema == FOUND
    assert column(found, "utterance_id") == ["id10001/1zcIwhmdeo4_00002", "id10002/vid_00001"]
    assert column(found, "video") == ["1zcIwhmdeo4", "vid"]
    assert column(found, "segment") == ["00002", "00001"]
    assert column(found, "person") == ["id10001", "id90001"]
    assert column(found, "bucket") == [bucket_of("id10001"), bucket_of("id90001")]
    assert column(found, "source_key") == ["wav/id10001/1zcIwhmdeo4/00002.wav", "wav/id10002/vid/00001.wav"]
    assert column(found, "item_id") == column(found, "audio_sha256") == [None, None]
    assert [Path(str(path)).read_bytes() for path in column(found, "path")] == [b"x", b"x"]


def test_voxceleb2_under_dev_and_the_tree_itself_give_the_same_ids(tmp_path: Path) -> None:
    lay(tmp_path, "dev/aac/id00012/21Uxsk56VDQ/00001.m4a")
    above = find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "vox2")
    inside = find_utterances(SpeechFolder(path=str(tmp_path / "dev" / "aac")), BOOK, "vox2")
    assert column(above, "utterance_id") == column(inside, "utterance_id") == ["id00012/21Uxsk56VDQ_00001"]


def test_names_generic_folders_and_flat_files(tmp_path: Path) -> None:
    lay(tmp_path, "A.J._Buckley/talk/part one.FLAC", "id10001.mp4", "someone/a.wav", "someone/notes.txt", "x y.ogg")
    found = find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "mine")
    by_key = dict(zip(column(found, "source_key"), found.to_pylist(), strict=True))
    assert set(by_key) == {"A.J._Buckley/talk/part one.FLAC", "id10001.mp4", "someone/a.wav", "x y.ogg"}
    assert by_key["A.J._Buckley/talk/part one.FLAC"]["identity"] == "id10001"
    assert by_key["id10001.mp4"]["utterance_id"] == "id10001/id10001"
    assert by_key["someone/a.wav"]["utterance_id"] == "someone/a"
    assert by_key["x y.ogg"]["identity"] == "x y"


def test_spellings_of_one_name_are_one_speaker_with_unique_keys(tmp_path: Path) -> None:
    """Folders, a tar's key and a tar's own word; the photos of the same person name the id."""
    lay(tmp_path, "jose/v1/1.wav", "a-j-buckley/x.wav")
    words = {"k1.json": json.dumps({"speaker": "JOS\u00c9"}).encode(), "k1.wav": b"1", "Jose\u0301/v1/1.wav": b"2"}
    pack(tmp_path / "a.tar", words)
    found = find_utterances(SpeechFolder(path=str(tmp_path)), BOOK.with_ids(["Jos\u00e9"]), "s")
    who = dict(zip(column(found, "source_key"), column(found, "identity"), strict=True))
    assert who.pop("a-j-buckley/x.wav") == "id10001"
    assert len(who) == 3
    assert set(who.values()) == {"Jos\u00e9"}
    assert len(set(column(found, "utterance_id"))) == 4


def test_utterance_ids_are_unique_keys_without_dots(tmp_path: Path) -> None:
    names = ["p/a_b/c.wav", "p/a/b_c.wav", "p/a/b/c.wav", "p/a.wav", "p/a.flac", "p/a.b.wav", "p/a_b.wav", "q.r/s.wav"]
    lay(tmp_path, *names)
    ids = [str(value) for value in column(find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "s"), "utterance_id")]
    assert len(set(ids)) == len(names)
    assert all(value.count("/") == 1 and "." not in value for value in ids)
    assert ids == [str(v) for v in column(find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "s"), "utterance_id")]


def test_a_name_that_is_not_utf8_keeps_a_row(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/id10001"
    os.mkdir(folder)
    try:
        with open(folder + b"/caf\xe9.wav", "wb") as file:
            file.write(b"x")
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    row = find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "s").to_pylist()[0]
    assert row["identity"] == "id10001"
    assert row["source_key"] == "id10001/caf\\xe9.wav"


def test_both_voxceleb_trees_in_one_folder(tmp_path: Path) -> None:
    lay(tmp_path, "wav/id10001/v/00001.wav", "dev/aac/id10002/v/00001.m4a", "test/aac/id00017/v/1.M4A", "other/a.wav")
    found = find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "both")
    assert column(found, "identity") == ["id10002", "id00017", "id10001"]


TREES = {
    "both": (["vox1/wav/id10001/v1/00001.wav", "vox2/dev/aac/id00012/v1/00001.m4a"], ["id10001", "id00012"]),
    "vox1 beside vox2": (["wav/id10001/v1/00001.wav", "vox2/aac/id00012/v1/00001.m4a"], ["id00012", "id10001"]),
    "dev/mp4": (["dev/mp4/id00012/v1/00001.mp4", "dev/mp4/id00015/v1/00001.mp4"], ["id00012", "id00015"]),
    "vox1_dev_wav": (["vox1_dev_wav/wav/id10001/v/1.wav", "vox1_test_wav/wav/id10002/v/1.wav"], ["id10001", "id10002"]),
    "another order": (["VoxCeleb1/test/wav/id10001/v/1.wav", "aac/dev/id00012/v/1.m4a"], ["id10001", "id00012"]),
    "parts alone": (["dev/id00012/v/1.m4a", "test/id00017/v/1.m4a"], ["id00012", "id00017"]),
    "a dataset's name": (["my_dev_wav/id10001/v/1.wav", "voxceleb-mini/id10002/v/1.wav"], ["id10001", "id10002"]),
    "people of such names": (["dev/talk/1.wav", "test/2.wav", "ann/talk/2019/1.wav"], ["ann", "dev", "test"]),
    "a person dev in a tree": (["wav/dev/talk/1.wav"], ["dev"]),
    "a person wav": (["ann/wav/v/1.wav", "bob/dev/v/1.wav"], ["ann", "bob"]),
}


@pytest.mark.parametrize("name", TREES)
def test_people_begin_below_the_folders_of_voxceleb(tmp_path: Path, name: str) -> None:
    files, people = TREES[name]
    lay(tmp_path, *files)
    found = find_utterances(SpeechFolder(path=str(tmp_path)), IdentityBook(), "s")
    assert column(found, "source_key") == sorted(files)
    assert sorted(map(str, column(found, "identity"))) == sorted(people)


def test_what_lies_beside_the_trees_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lay(tmp_path, "vox1/wav/id10001/v/1.wav", "ann/1.wav", "ann/2.wav", "loose.wav", "photos/ann/1.jpg")
    pack(tmp_path / "vox1_dev_wav.tar", SAMPLES)
    found = find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "s")
    assert column(found, "source_key") == ["vox1/wav/id10001/v/1.wav"]
    assert "4 files of speech beside them are passed over: ann (2)" in caplog.text
    assert "vox1_dev_wav.tar (1)" in caplog.text


def test_a_video_is_read_where_its_sound_lies_nowhere_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    lay(tmp_path, "dev/aac/id00012/v/1.m4a", "dev/mp4/id00012/v/1.mp4", "dev/mp4/id00012/v/2.mp4")
    found = find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "s")
    assert column(found, "source_key") == ["dev/aac/id00012/v/1.m4a", "dev/mp4/id00012/v/2.mp4"]
    assert column(found, "utterance_id") == ["id00012/v_1", "id00012/v_2"]
    assert "1 videos are passed over" in caplog.text


@pytest.mark.parametrize(
    ("codec", "rates_hz"),
    [
        ("mp2", (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)),
        ("mp3", (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)),
    ],
)
def test_mpeg_audio_is_known_by_its_first_frame_at_every_rate(codec: str, rates_hz: tuple[int, ...]) -> None:
    missed = []
    for rate_hz in rates_hz:
        written = io.BytesIO()
        options = {"write_xing": "0", "id3v2_version": "0"} if codec == "mp3" else {}
        with av.open(written, "w", format=codec, options=options) as container:
            stream = container.add_stream(codec, rate=rate_hz, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, rate_hz), np.int16), format="s16", layout="mono")
            frame.sample_rate = rate_hz
            for packet in (*stream.encode(frame), *stream.encode(None)):
                container.mux(packet)
        assert written.getvalue()[:1] == b"\xff"  # a frame, no tag
        if not is_speech(written.getvalue()[:32]):
            missed.append(rate_hz)
    assert missed == []


def test_sound_of_any_suffix_is_found_and_the_rest_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    wav = b"RIFF\x24\0\0\0WAVEfmt "
    for name, data in {
        "p/a.wav": b"x",
        "p/a.caf": b"caff\0\x01\0\0desc",
        "p/memo.mp2": b"\xff\xfd\xa4\x04",
        "p/memo": wav,
        "p/talk.qcp": b"RIFF\x24\0\0\0QLCMfmt ",
        "p/text.utf16": "\ufeffhello".encode("utf-16-le"),
        "p/photo.jpg": wav,
        "p/notes.txt": wav,
        "p/empty": b"",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    found = find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "s")
    assert column(found, "source_key") == ["p/a.caf", "p/a.wav", "p/memo", "p/memo.mp2"]
    ids = dict(zip(column(found, "source_key"), column(found, "utterance_id"), strict=True))
    assert ids["p/a.wav"] == "p/a"  # as before anything else was found beside it
    assert len(set(ids.values())) == 4
    assert "4 files are no speech and are passed over" in caplog.text
    assert all(f"{suffix} (1)" in caplog.text for suffix in (".qcp", ".utf16", ".txt", "no suffix"))


def test_hidden_files_and_links_that_lead_back_are_passed_over(tmp_path: Path) -> None:
    lay(tmp_path, "p/a.wav", "p/._a.wav", ".trash/b.wav", "q/.cache/c.wav", "elsewhere/deep/d.WAV")
    (tmp_path / "p" / "again").symlink_to(tmp_path)
    (tmp_path / "p" / "me").symlink_to(tmp_path / "p")
    (tmp_path / "p" / "nowhere").symlink_to(tmp_path / "missing")
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere")
    found = find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "s")
    assert column(found, "source_key") == ["elsewhere/deep/d.WAV", "linked/deep/d.WAV", "p/a.wav"]


def pack(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


SAMPLES = {
    "k1.json": json.dumps({"identity": "A.J. Buckley"}).encode(),
    "k1.flac": b"sound one",
    "./id10002/vid/k2.wav": b"sound two",
    "k3.wav": b"nobody's",
    "k3.json": b"not json",
    "k4.m4a": b"four",
    "k4.json": json.dumps({"speaker_id": 1089}).encode(),
    "k5.txt": b"no sound",
}


def test_clips_of_webdataset_tars_are_read_at_their_place(tmp_path: Path) -> None:
    pack(tmp_path / "data" / "shards" / "000.tar", SAMPLES)
    lay(tmp_path / "data", "someone/a.wav")
    found = inventory(
        open_storage(str(tmp_path / "root"), create=True),
        find_utterances(SpeechFolder(path=str(tmp_path / "data")), BOOK, "s"),
    )
    rows = {row["source_key"]: row for row in found.to_pylist()}
    who = {key.rpartition("!")[2]: (row["identity"], row["utterance_id"]) for key, row in rows.items()}
    assert who == {
        "k1.flac": ("id10001", "id10001/k1"),
        "id10002/vid/k2.wav": ("id10002", "id10002/vid_k2"),
        "k3.wav": ("unknown", "unknown/k3"),
        "k4.m4a": ("1089", "1089/k4"),
        "someone/a.wav": ("someone", "someone/a"),
    }
    row = rows["shards/000.tar!id10002/vid/k2.wav"]
    assert clip_bytes(row) == b"sound two"
    assert row["audio_sha256"] == hashlib.sha256(b"sound two").hexdigest()
    alone = find_utterances(SpeechFolder(path=str(tmp_path / "data" / "shards" / "000.tar")), BOOK, "s")
    assert sorted(map(str, column(alone, "source_key"))) == sorted(key[7:] for key in rows if key.startswith("shards/"))


def test_a_tar_that_changes_after_it_was_listed(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", {"p/one.wav": b"1" * 2000, "p/two.wav": b"2" * 2000})
    rows = find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "s").to_pylist()
    os.truncate(tmp_path / "a.tar", 3000)
    assert clip_bytes(rows[0]) == b"1" * 2000
    with pytest.raises(OSError, match="ends before the clip"):
        clip_bytes(rows[1])


@pytest.mark.parametrize("size", [0, 700, 3000])
def test_a_cut_tar_is_refused_not_half_read(tmp_path: Path, size: int) -> None:
    pack(tmp_path / "a.tar", {"p/one.wav": b"1" * 2000, "p/two.wav": b"2" * 2000})
    os.truncate(tmp_path / "a.tar", size)
    with pytest.raises(SourceError, match=r"a\.tar cannot be read.*copy it again"):
        find_utterances(SpeechFolder(path=str(tmp_path)), BOOK, "s")


@pytest.mark.parametrize("case", ["missing", "file", "empty"])
def test_a_folder_without_speech_is_one_clear_line(tmp_path: Path, case: str) -> None:
    target = tmp_path / case
    if case == "file":
        target.write_bytes(b"x")
    elif case == "empty":
        lay(tmp_path, "empty/id10001/readme.txt")
    with pytest.raises(SourceError, match=r"sources\.speech\.path=") as caught:
        find_utterances(SpeechFolder(path=str(target)), BOOK, "s")
    assert "\n" not in str(caught.value)
