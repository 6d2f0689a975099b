"""`voxdata weights` and registry names in `voxdata train`, called as a user calls them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import runs
from flows.cli import main
from flows.orders import ordered
from flows.runs import prepare
from flows.train import judge
from voxdata import weights
from voxdata.format.errors import WeightsError
from voxdata.store.storage import open_storage

DATA = bytes(range(256)) * 20_000

SNAPSHOT: dict[str, Any] = {
    "id": "0" * 16,
    "name": "x",
    "shards": (),
    "recipe": {},
    "front_ends": {"torch40": {}},
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on a web server; its `net.pt` is an entry of the registry, of which only a prefix is known."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "net.pt").write_bytes(DATA)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    own = tmp_path / "own.toml"
    own.write_text(
        f'[weights.net]\nfile = "net.pt"\nformat = "torch"\nurl = "http://127.0.0.1:{server.server_address[1]}/net.pt"\n'
        f'bytes = {len(DATA)}\nsha256_prefix = "{hashlib.sha256(DATA).hexdigest()[:8]}"\ndigest = "prefix"\n'
        'licence = "CC-BY-4.0"\ncommercial = "unclear"\ntrained_on = "nothing"\nused_by = ["a test"]\n'
    )
    monkeypatch.setenv(weights.REGISTRY_VARIABLE, str(own))
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    try:
        yield folder
    finally:
        server.shutdown()
        server.server_close()


def listed(capsys: pytest.CaptureFixture[str], name: str) -> list[str]:
    assert main(["weights", "list"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.split()[:1] == [name]]
    return line.split()


def test_pull_path_verify(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "net") == ["net", "5.1", "-", "prefix", "unclear", "CC-BY-4.0", "a", "test"]
    assert main(["weights", "pull", "net"]) == 0
    said = capsys.readouterr().out
    assert hashlib.sha256(DATA).hexdigest() in said
    assert "only its first digits are published" in said
    assert "licence: CC-BY-4.0; commercial use: unclear" in said
    assert listed(capsys, "net")[2] == "yes"
    assert main(["weights", "path", "net"]) == 0
    assert Path(capsys.readouterr().out.strip()).read_bytes() == DATA
    assert main(["weights", "verify"]) == 0
    (tmp_path / "cache" / "net.pt").write_bytes(DATA[::-1])
    assert main(["weights", "verify"]) == 1
    assert "net: has sha256" in capsys.readouterr().out


def test_one_refusal_does_not_keep_the_others_back(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "pull", "nett", "net"]) == 1
    assert "'nett'; near: net" in capsys.readouterr().err
    assert main(["weights", "path", "net"]) == 0
    (site / "gone.txt").write_text("unknown")
    (tmp_path / "cache" / "net.pt").unlink()
    assert main(["weights", "import", str(site / "gone.txt"), str(site / "net.pt")]) == 1
    captured = capsys.readouterr()
    assert "gone.txt has sha256" in captured.err
    assert "Traceback" not in captured.err
    assert main(["weights", "verify"]) == 0


def test_a_missing_file_ends_with_the_commands(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "path", "net"]) == 1
    assert "voxdata weights pull net; without a network get http://127.0.0.1" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.parametrize("named", ["mobilefacenet", None, "./here.onnx"])
def test_a_training_takes_a_name_of_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    file = tmp_path / "here.onnx"
    file.write_bytes(b"a network")
    own = tmp_path / "own.toml"
    own.write_text(f'[weights.mobilefacenet]\nbytes = 9\nsha256 = "{weights.sha256_of(file)}"\n')
    monkeypatch.setenv(weights.REGISTRY_VARIABLE, str(own))
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "load_snapshot", lambda storage, snapshot: SimpleNamespace(**SNAPSHOT))
    open_storage(tmp_path / "root", create=True)
    order = ordered(root=str(tmp_path / "root"), embedder="mobilefacenet", weights=named)
    if named != "./here.onnx":
        with pytest.raises(WeightsError, match=r"voxdata weights import mobilefacenet_y1.onnx"):
            prepare(order)
        weights.import_file(file)
    run = prepare(order)
    written = json.loads((run.folder / "run.json").read_text())["weights"]
    place = file if named == "./here.onnx" else tmp_path / "cache" / "mobilefacenet_y1.onnx"
    assert written == {"mobilefacenet": str(place)}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset with an empty cache of weights beside it."""
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(runs, "load_snapshot", lambda storage, snapshot: SimpleNamespace(**SNAPSHOT))
    open_storage(tmp_path / "root", create=True)
    return tmp_path / "root"


@pytest.mark.long
def test_a_missing_file_stops_the_training_with_what_would_be_off(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "sf2f", "--root", str(root), "--embedder", "facenet"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        f"voxdata train: facenet: 20180402-114759-vggface2.pt is not in {weights.cache_folder()}, and without it the "
        "perceptual loss and the figures of its evaluation would be off; run: voxdata weights pull facenet; "
    )
    assert said.endswith("; or go on so: --allow-missing-weights\n")
    assert not (root / "runs").exists()
    run = prepare(ordered(root=str(root), embedder="facenet", allow_missing_weights=True))
    assert json.loads((run.folder / "run.json").read_text())["allow_missing_weights"] is True
    assert [need.part for need in run.config.missing()] == ["the perceptual loss", "the figures of its evaluation"]
    weights.cache_folder().mkdir()
    (weights.cache_folder() / "20180402-114759-vggface2.pt").write_bytes(b"half of it")
    with pytest.raises(WeightsError, match=r"facenet: .*20180402-114759-vggface2.pt has .* bytes"):
        prepare(ordered(root=str(root), embedder="facenet", allow_missing_weights=True))


def test_a_run_whose_embedder_lacks_is_not_judged_by_another(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = prepare(ordered(root=str(root), embedder="facenet", allow_missing_weights=True))
    off = [{"part": need.part, "weights": need.weights} for need in run.config.missing()]
    content = {"run": dataclasses.asdict(run.config), "off": off}
    (run.folder / "config.json").write_text(json.dumps(content))
    judged: list[Path] = []
    monkeypatch.setattr("flows.train.evaluate_run", judged.append)
    with caplog.at_level("WARNING"):
        judge.fn(str(run.folder))
    assert judged == []
    assert f"the file of facenet is missing; bring it and run: voxdata evaluate {run.folder}" in caplog.text
    with pytest.raises(WeightsError, match=r"voxdata weights pull facenet"):
        runs.evaluate_run(run.folder)
