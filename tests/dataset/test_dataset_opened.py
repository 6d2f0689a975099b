from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_root import AT, SmallRoot, faces, jpeg, mel

import voxdata
from voxdata.catalog.tags import tag
from voxdata.dataset.opened import Dataset
from voxdata.format.errors import QueryError, ShardError, SnapshotError
from voxdata.store.storage import LocalStorage


def test_import_is_light() -> None:
    script = "import sys, voxdata; voxdata.open; print({'torch', 'duckdb', 'webdataset'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_asking_brings_no_torch(built: Path) -> None:
    script = f"import sys, voxdata; voxdata.open({str(built)!r}).sql('FROM funnel'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_sql_in_every_shape(data: Dataset) -> None:
    result = data.sql(
        "SELECT split, count(*)::INT AS n FROM samples WHERE kind = 'faces' GROUP BY split ORDER BY split"
    )
    assert result.fetchall() == [("test", 1), ("train", 8), ("val", 1)]
    assert result.rows()[1] == {"split": "train", "n": 8}
    assert result.arrow().column_names == ["split", "n"]
    assert result.relation().filter("n > 1").fetchall() == [("train", 8)]
    assert str(result).splitlines()[-1] == "(3 rows)"
    try:
        import pandas  # noqa: F401
    except ImportError:
        with pytest.raises(QueryError, match="pip install pandas"):
            result.df()
    else:
        assert result.df().shape == (3, 2)


def test_sql_cannot_write(data: Dataset) -> None:
    with pytest.raises(QueryError, match="read-only"):
        data.sql("DELETE FROM faces")


def test_tables_have_a_row_per_sample_and_its_measurements(data: Dataset) -> None:
    portraits, utterances = data.portraits(), data.utterances("train")
    assert sorted(zip(portraits["identity"].to_pylist(), portraits["face_angle_deg"].to_pylist(), strict=True)) == [
        (f"id{n:05d}", float(n)) for n in range(10)
    ]
    assert set(utterances["split"].to_pylist()) == {"train"}
    assert sorted(utterances["holdout"].to_pylist()) == [False] * 8 + [True] * 8
    assert data.portraits("val")["identity"].to_pylist() == ["id00009"]
    with pytest.raises(SnapshotError, match="no split 'dev'; there are train, val, test"):
        data.portraits("dev")


def test_read_is_random_access_by_key(data: Dataset) -> None:
    assert data.read(faces(7)[0]["face_id"], "jpg") == jpeg(7, 0)
    assert data.read("id00003/video_00001", "torch40.npy") == mel(3, 40)
    with pytest.raises(ShardError, match=r"id00003/video_00001 has no \.flac; it has json, torch40.npy, torch64.npy"):
        data.read("id00003/video_00001", "flac")
    with pytest.raises(ShardError, match="no sample 'nobody/0'"):
        data.read("nobody/0", "jpg")


def hashes(data: Dataset) -> str:
    found = [data.read(faces(n)[0]["face_id"], "jpg") for n in range(10)]
    return hashlib.sha256(b"".join(found)).hexdigest()


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_reads_agree_in_other_processes(data: Dataset, method: str) -> None:
    here = hashes(data)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(hashes, [data] * 4) == [here] * 4
    assert hashes(data) == here


def test_a_pickled_dataset_still_answers(data: Dataset) -> None:
    data.read(faces(0)[0]["face_id"], "jpg")
    again = pickle.loads(pickle.dumps(data))
    assert again.id == data.id
    assert hashes(again) == hashes(data)
    assert len(again.sql("FROM portraits")) == 10


def test_it_stays_the_snapshot_that_was_opened(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "root")
    first = SmallRoot(storage).publish()
    with voxdata.open(storage.url) as before:
        second = SmallRoot(storage, people=9).publish()
        for _ in range(2):
            assert before.sql("SELECT count(*), max(identity) FROM portraits").fetchall() == [(10, "id00009")]
        assert before.portraits().num_rows == 10
    assert voxdata.open(storage.url).id == second.id
    tag(storage, "paper", first.id, at=AT)
    with voxdata.open(storage.url, "paper") as tagged:
        assert tagged.id == first.id
        assert len(tagged.sql("FROM portraits")) == 10
    assert len(voxdata.open(storage.url).sql("FROM portraits")) == 9


def test_a_truncated_tar_is_said_before_a_sample_is_lost(built: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(built, root)
    data = voxdata.open(root)
    (entry,) = data.shards("faces", "val")
    path = root / entry.tar
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ShardError, match="has 700 bytes, promised are"):
        data.webdataset("val", "faces")
    with pytest.raises(
        ShardError, match=r"id00009/\w+.jpg in .* is damaged: the tar ends inside it.* run: voxdata verify"
    ):
        data.read(faces(9)[0]["face_id"], "jpg")
    path.unlink()
    with pytest.raises(ShardError, match="is gone; run: voxdata repair"):
        data.webdataset("val", "faces")
