"""Finding speech: VoxCeleb's trees, generic folders, flat files, names that are trouble."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from voxdata.errors import SourceError
from voxdata.identities import Identity, IdentityBook, bucket_of
from voxdata.schemas import UTTERANCE_FILES
from voxdata.speech.find import find_utterances

BOOK = IdentityBook(
    by_id={name: Identity(identity=name) for name in ("id10001", "id10002")},
    by_name={"a.j._buckley": "id10001"},
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
    found = find_utterances(str(tmp_path), BOOK, "vox1")
    assert found.schema == UTTERANCE_FILES
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
    above = find_utterances(str(tmp_path), BOOK, "vox2")
    inside = find_utterances(str(tmp_path / "dev" / "aac"), BOOK, "vox2")
    assert column(above, "utterance_id") == column(inside, "utterance_id") == ["id00012/21Uxsk56VDQ_00001"]


def test_names_generic_folders_and_flat_files(tmp_path: Path) -> None:
    lay(tmp_path, "A.J._Buckley/talk/part one.FLAC", "id10001.mp4", "someone/a.wav", "someone/notes.txt", "x y.ogg")
    found = find_utterances(str(tmp_path), BOOK, "mine")
    by_key = dict(zip(column(found, "source_key"), found.to_pylist(), strict=True))
    assert set(by_key) == {"A.J._Buckley/talk/part one.FLAC", "id10001.mp4", "someone/a.wav", "x y.ogg"}
    assert by_key["A.J._Buckley/talk/part one.FLAC"]["identity"] == "id10001"
    assert by_key["id10001.mp4"]["utterance_id"] == "id10001/id10001"
    assert by_key["someone/a.wav"]["utterance_id"] == "someone/a"
    assert by_key["x y.ogg"]["identity"] == "x y"


def test_utterance_ids_are_unique_keys_without_dots(tmp_path: Path) -> None:
    names = ["p/a_b/c.wav", "p/a/b_c.wav", "p/a/b/c.wav", "p/a.wav", "p/a.flac", "p/a.b.wav", "p/a_b.wav", "q.r/s.wav"]
    lay(tmp_path, *names)
    ids = [str(value) for value in column(find_utterances(str(tmp_path), BOOK, "s"), "utterance_id")]
    assert len(set(ids)) == len(names)
    assert all(value.count("/") == 1 and "." not in value for value in ids)
    assert ids == [str(v) for v in column(find_utterances(str(tmp_path), BOOK, "s"), "utterance_id")]


def test_a_name_that_is_not_utf8_keeps_a_row(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/id10001"
    os.mkdir(folder)
    try:
        with open(folder + b"/caf\xe9.wav", "wb") as file:
            file.write(b"x")
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    row = find_utterances(str(tmp_path), BOOK, "s").to_pylist()[0]
    assert row["identity"] == "id10001"
    assert row["source_key"] == "id10001/caf\\xe9.wav"


@pytest.mark.parametrize("case", ["missing", "file", "empty"])
def test_a_folder_without_speech_is_one_clear_line(tmp_path: Path, case: str) -> None:
    target = tmp_path / case
    if case == "file":
        target.write_bytes(b"x")
    elif case == "empty":
        lay(tmp_path, "empty/id10001/readme.txt")
    with pytest.raises(SourceError, match=r"sources\.speech\.path=") as caught:
        find_utterances(str(target), BOOK, "s")
    assert "\n" not in str(caught.value)
