"""An item that ends the process which works on it is named and kept out; one that was lost by chance is measured."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from elsewhere import REPOSITORY
from spoken import Spoken, spoken

from voxdata.format.errors import BackendError
from voxdata.pipeline.runner import open_pool
from voxdata.pipeline.singly import DEATHS
from voxdata.pipeline.stages import SPEECH_MEASURE, do
from voxdata.recipe.sections import Work
from voxdata.speech.decide import decide
from voxdata.tables.schemas import UTTERANCES

# What a worker imports as it starts: from then on, opening that file ends it, as a fault in a decoder would.
KILLER = """
import os, sys
from pathlib import Path

def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith({name!r}):
        deaths = Path({deaths!r})
        if len(list(deaths.iterdir())) < {times}:
            (deaths / str(os.getpid())).touch()
            os.kill(os.getpid(), 9)

sys.addaudithook(hook)
"""


@pytest.fixture
def root(tmp_path: Path) -> Spoken:
    return spoken(tmp_path, 2, 2, "work.workers=2")


def killing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, times: int) -> Path:
    """Let workers end as they open the file `name`, so many times in all; the folder that counts them."""
    deaths, code = tmp_path / "deaths", tmp_path / "code"
    deaths.mkdir()
    code.mkdir()
    (code / "sitecustomize.py").write_text(KILLER.format(name=name, deaths=str(deaths), times=times))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (code, REPOSITORY))))
    return deaths


def measure(root: Spoken) -> None:
    with open_pool(root.recipe.work) as pool:
        do(SPEECH_MEASURE, root.storage, root.recipe, root.key, pool)


@pytest.mark.long
def test_a_clip_that_ends_every_process_is_named_kept_out_and_does_not_stop_the_build(
    root: Spoken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deaths = killing(tmp_path, monkeypatch, "id1/v/0.wav", 99)
    measure(root)
    statuses = {row["item_id"].partition("@")[0]: row["speech_status"] for row in root.rows()}
    assert statuses == {"id0/v_0": "ok", "id0/v_1": "ok", "id1/v_0": "killed_worker", "id1/v_1": "ok"}
    assert "id1/v/0.wav ended 2 processes that had nothing else to do; it is kept out as killed_worker" in caplog.text
    assert len(list(deaths.iterdir())) == 1 + DEATHS
    verdicts = decide(
        pa.Table.from_pylist([{n: row[n] for n in UTTERANCES.names} for row in root.rows()], UTTERANCES),
        root.recipe.speech.select,
    )
    assert verdicts["reason"].to_pylist()[2] == "killed_worker"
    measure(root)
    assert len(list(deaths.iterdir())) == 1 + DEATHS, "it has its row, and is not tried again"


@pytest.mark.long
def test_a_worker_that_somebody_killed_is_no_verdict(
    root: Spoken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killing(tmp_path, monkeypatch, "id1/v/0.wav", 1)
    measure(root)
    assert [row["speech_status"] for row in root.rows()] == ["ok"] * 4


@pytest.mark.long
def test_a_lost_worker_leaves_the_parts_that_there_would_be_without(
    root: Spoken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot names the parts, and its bytes must not tell what happened on the way."""
    measure(root)
    store = SPEECH_MEASURE.store(root.storage, root.recipe)
    undisturbed = {key: root.storage.read(key) for key in root.storage.keys(store.folder)}
    for key in undisturbed:
        root.storage.delete(key)
    killing(tmp_path, monkeypatch, "id1/v/0.wav", 1)
    measure(root)
    assert {key: root.storage.read(key) for key in root.storage.keys(store.folder)} == undisturbed
    assert any(key.endswith(".tar") for key in undisturbed)


def test_a_lost_worker_of_another_step_is_one_line() -> None:
    said = r"^a worker process of pack ended without a word.*work\.workers=1$"
    with pytest.raises(BackendError, match=said), open_pool(Work(workers=1)) as pool:
        list(pool.each("pack", os._exit, [{"status": 7}]))
