"""Datasets and results in Python: sizes, rows, frames, pictures, sounds, notebooks, and who is left out."""

from __future__ import annotations

import base64
import io
import re
import shutil
import tomllib
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from small_root import AT, faces, jpeg
from torch.utils.data import DataLoader

import voxdata
from voxdata.catalog.query import run_query
from voxdata.dataset.opened import Dataset
from voxdata.dataset.sound import Sound, read_sound
from voxdata.format.errors import QueryError, ShardError, SnapshotError, SourceError, StorageError, VoxdataError
from voxdata.people.optouts import OPTED_OUT, state
from voxdata.store.storage import LocalStorage

KEY = faces(7)[0]["face_id"]
left_open = pytest.mark.filterwarnings(  # webdataset leaves closing its tars to the collector
    "ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
PICTURE = re.compile(r'<img src="data:image/jpeg;base64,([^"]+)"')


@pytest.fixture
def without_seven(built: Path, tmp_path: Path) -> Dataset:
    """The same version; person 7 has opted out since."""
    root = LocalStorage(tmp_path / "root")
    shutil.copytree(built, root.path)
    state(root, "id00007", OPTED_OUT, reason=None, at=AT)
    return voxdata.open(root.path)


def test_the_version_of_the_package_is_said() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert voxdata.__version__ == tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    with pytest.raises(AttributeError, match="nothing"):
        voxdata.nothing  # noqa: B018


def test_what_there_is_is_found_by_dir() -> None:
    assert set(dir(voxdata)) == set(voxdata.__all__) >= {"build", "imagine", "open", "train"}


def test_open_takes_the_root_of_the_session(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXDATA_ROOT", str(built))
    with voxdata.open() as data:
        assert len(data) == 30
    monkeypatch.delenv("VOXDATA_ROOT")
    monkeypatch.chdir(built)
    with voxdata.open() as data:
        assert len(data) == 30


def test_a_dataset_is_its_samples(data: Dataset) -> None:
    samples = list(data)
    assert (len(data), len(samples), bool(data)) == (30, 30, True)
    assert {(each["kind"], each["key"]) for each in samples} == {
        (row["kind"], row["key"]) for row in data.sql("SELECT kind, key FROM samples")
    }


def test_a_result_is_its_rows(data: Dataset) -> None:
    result = data.sql("SELECT split, count(*)::INT AS n FROM samples GROUP BY split ORDER BY split")
    assert (
        list(result)
        == result.rows()
        == [{"split": "test", "n": 3}, {"split": "train", "n": 24}, {"split": "val", "n": 3}]
    )
    assert pa.table(result) == result.arrow()
    assert not data.sql("FROM samples LIMIT 0")
    assert repr(result).splitlines()[0].split() == ["split", "n"]


def test_a_result_is_a_polars_frame(data: Dataset) -> None:
    result = data.sql("FROM samples")
    try:
        import polars  # noqa: F401
    except ImportError:
        with pytest.raises(QueryError, match="pip install polars"):
            result.pl()
    else:
        assert result.pl().shape[0] == 30


def test_portraits_are_a_table_and_a_result(data: Dataset) -> None:
    portraits = data.portraits("train")
    assert (len(portraits), portraits.num_rows) == (8, 8)
    assert portraits["split"].to_pylist() == ["train"] * 8
    assert portraits.df().shape[0] == 8
    with pytest.raises(AttributeError):
        portraits.nothing  # noqa: B018


def test_an_image_is_the_portrait(data: Dataset) -> None:
    picture = data.image(KEY)
    with Image.open(io.BytesIO(jpeg(7, 0))) as stored:
        assert np.array_equal(np.asarray(picture), np.asarray(stored.convert("RGB")))
    with pytest.raises(ShardError, match="nobody: there is no portrait of this key"):
        data.image("nobody")


def test_rows_with_a_portrait_have_its_thumbnail(data: Dataset) -> None:
    page = data.sql("SELECT key, name, '<b>' AS text FROM portraits ORDER BY key")._repr_html_()
    pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in PICTURE.findall(page)]
    assert [picture.size for picture in pictures] == [(16, 16)] * 10
    assert "<b>" not in page
    assert "10 rows" in page
    assert PICTURE.search(data.sql("SELECT count(*) AS n FROM portraits")._repr_html_()) is None
    assert len(PICTURE.findall(data.portraits("val")._repr_html_())) == 1
    assert len(PICTURE.findall(data.sql("SELECT portrait, utterance FROM pairs LIMIT 3")._repr_html_())) == 3
    assert len(PICTURE.findall(data._repr_html_())) == 8


def test_thumbnails_in_sql_are_small_pictures(data: Dataset) -> None:
    rows = data.sql("SELECT key, thumbnail(key) AS small FROM samples").rows()
    assert {row["key"] for row in rows if row["small"]} == set(data.portraits()["key"].to_pylist())
    with Image.open(io.BytesIO(next(row["small"] for row in rows if row["small"]))) as picture:
        assert max(picture.size) <= 96


def test_who_opted_out_is_in_nothing_that_is_shown(without_seven: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    data = without_seven
    assert len(data) == len(list(data)) == 27
    assert "id00007" not in {each["person"] for each in data}
    with pytest.raises(ShardError, match="its person opted out since"):
        data.image(KEY)
    with pytest.raises(ShardError, match="its person opted out since"):
        data.audio("id00007/video_00001")
    assert len(PICTURE.findall(data.sql("FROM portraits")._repr_html_())) == 9
    assert data.sql(f"SELECT thumbnail('{KEY}') AS small").rows() == [{"small": None}]
    assert "1 thumbnails are left out" in caplog.text


def plain(sample: dict[str, Any]) -> str:
    return str(sample["__key__"])


@left_open
def test_who_opted_out_is_in_nothing_that_is_handed_out(
    without_seven: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    data = without_seven
    others = sorted(row["key"] for row in data if row["kind"] == "faces")
    assert len(others) == 9
    assert sorted(data.portraits()["key"].to_pylist()) == others
    assert "id00007" not in data.utterances()["person"].to_pylist()
    assert data.portraits("val").num_rows == 1
    streams = [data.webdataset("train", kind) for kind in ("faces", "speech")]
    found = {sample["__key__"].partition("/")[0] for stream in streams for sample in stream}
    assert found == {f"id{n:05d}" for n in range(7)}
    loaded = DataLoader(data.webdataset("train", "faces").map(plain), batch_size=None, num_workers=1)
    assert {key.partition("/")[0] for key in loaded} == found
    options = {"side_px": 16, "frames": 12, "cache": "memory"}
    pairs = data.pairs("train", **options)
    assert set(pairs.people) == found
    assert {key.partition("/")[0] for place in range(len(pairs)) for key in pairs.keys(place)} <= found
    assert data.pairs("train", iterable=True, **options).pairs.people == pairs.people
    (said,) = [record.getMessage() for record in caplog.records]
    assert "1 person who opted out since" in said
    assert 'opted_out="keep"' in said


@left_open
def test_a_published_version_is_reproduced_when_it_is_asked_for(
    built: Path, without_seven: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    before, data = voxdata.open(built), without_seven
    assert data.portraits(opted_out="keep").arrow() == before.portraits().arrow()
    assert data.utterances("train", opted_out="keep").arrow() == before.utterances("train").arrow()
    options = {"side_px": 16, "frames": 12, "cache": "memory", "length": 30}
    kept, published = data.pairs("train", opted_out="keep", **options), before.pairs("train", **options)
    assert kept.people == published.people
    assert kept[range(30)]["portrait"].equal(published[range(30)]["portrait"])
    assert kept[range(30)]["mel"].equal(published[range(30)]["mel"])
    stream = data.webdataset("train", "faces", shuffle=8, seed=3, opted_out="keep")
    assert list(map(plain, stream)) == list(map(plain, before.webdataset("train", "faces", shuffle=8, seed=3)))
    assert not caplog.records
    with pytest.raises(SnapshotError, match="opted_out = 'kept': it is one of leave_out, keep"):
        data.portraits(opted_out="kept")  # type: ignore[arg-type]


def test_pairs_are_shown_without_who_opted_out(without_seven: Dataset) -> None:
    pairs = without_seven.pairs("train", cache="memory", frames=10, length=64, opted_out="keep")
    page = pairs._repr_html_()
    assert "id00007" not in page
    assert len(PICTURE.findall(page)) == 6


def test_audio_says_that_none_is_stored_and_where_its_source_is(data: Dataset) -> None:
    with pytest.raises(SourceError, match=r"no audio is stored.*voxdata sql .select location from prov"):
        data.audio("id00003/video_00001")
    with pytest.raises(ShardError, match="no utterance of this key"):
        data.audio("nobody")


def test_audio_is_read_from_the_source_while_it_is_the_same_file(tmp_path: Path) -> None:
    tone = np.sin(np.arange(8000) / 20, dtype=np.float32) / 2
    path = tmp_path / "tone.wav"
    path.write_bytes(Sound(tone).wav())
    heard = read_sound("key", str(path), None, "root")
    assert (heard.rate_hz, heard.samples.dtype, len(heard.samples)) == (16000, np.float32, 8000)
    assert np.abs(heard.samples - tone).max() < 1e-3
    with wave.open(io.BytesIO(heard.wav())) as file:
        assert (file.getframerate(), file.getnframes()) == (16000, 8000)
    with pytest.raises(SourceError, match="was changed since"):
        read_sound("key", str(path), "0" * 64, "root")
    assert "audio/wav" in heard._repr_html_()


def test_thumbnails_lie_in_no_file(built: Path) -> None:
    columns = run_query(LocalStorage(built), "SELECT column_name FROM duckdb_columns() WHERE data_type = 'BLOB'")
    assert columns.num_rows == 0


def test_errors_are_one_tree() -> None:
    assert issubclass(ShardError, VoxdataError)
    assert voxdata.VoxdataError is VoxdataError


@pytest.mark.parametrize(
    ("ask", "kind", "says"),
    [
        (lambda data: data.shards("x"), SnapshotError, "no kind of shards 'x'; there are faces, speech"),
        (lambda data: data.shards(None), SnapshotError, "no kind of shards None; there are faces, speech"),
        (lambda data: data.shards([]), SnapshotError, "no kind of shards"),
        (lambda data: data.shards("faces", []), SnapshotError, "no split"),
        (lambda data: data.audio(5), ShardError, "5 is no key"),
        (lambda data: data.audio(None), ShardError, "None is no key"),
        (lambda data: data.image([]), ShardError, "is no key"),
        (lambda data: data.read(5, "jpg"), ShardError, "5"),
        (lambda data: data.read("a" * 100_000, None), ShardError, "a"),
        (lambda data: data.sql(None), QueryError, "None is no SQL"),
        (lambda data: data.sql(b"FROM funnel"), QueryError, "is no SQL"),
    ],
)
def test_what_is_asked_wrongly_is_an_error_of_ours(data: Dataset, ask: Any, kind: type, says: str) -> None:
    with pytest.raises(kind) as raised:
        ask(data)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "root", ["ftp://nosuch.invalid/x", "github://x", "nosuch://x", "x" * 100_000, "a\0b", "x/" * 50_000]
)
def test_a_root_that_none_can_be_is_an_error_of_ours(root: str) -> None:
    with pytest.raises(StorageError) as raised:
        voxdata.open(root)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_a_version_that_none_can_be_is_an_error_of_ours(built: Path) -> None:
    with pytest.raises(VoxdataError) as raised:
        voxdata.open(built, "x" * 100_000)
    assert len(str(raised.value)) < 1000
