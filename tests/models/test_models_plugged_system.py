"""A system that another package brings is trained, resumed, evaluated and asked; and what can be wrong with one."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from snapshot_writer import TinySnapshot

from models.errors import ConfigError
from models.evaluate.protocol import evaluate
from models.imagine import imagine
from models.systems.registry import GROUP, OURS, system_names, system_spec
from models.train import train
from models.training.config import make_config
from tests.documented import REPOSITORY, blocks

(TOY,) = (block.text for block in blocks(REPOSITORY / "docs" / "extend.md") if "TOY = SystemSpec(" in block.text)
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package on the path as pip leaves it: modules, and a .dist-info that declares its systems."""

    def put(package: str, systems: dict[str, str], source: str = TOY) -> Path:
        folder = tmp_path / f"site-{package}"
        described = folder / f"{package}-1.2.dist-info"
        described.mkdir(parents=True)
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        lines = "".join(f"{name} = {value}\n" for name, value in systems.items())
        (described / "entry_points.txt").write_text(f"[voxdata.systems]\n{lines}")
        (folder / f"{package}.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, package, raising=False)
        return folder

    yield put
    for name in [name for name in sys.modules if name.startswith("toy_")]:
        del sys.modules[name]


def test_a_system_of_another_package_is_trained_resumed_evaluated_and_asked(
    install: Install, tiny_snapshot: TinySnapshot, tmp_path: Path
) -> None:
    install("toy_system", {"toy": "toy_system:TOY"})
    assert system_names() == [*OURS, "toy"]
    content = {
        "root": str(tiny_snapshot.root),
        "snapshot": tiny_snapshot.id,
        "run_dir": str(tmp_path / "run"),
        "system": "toy",
        "steps": 6,
        "device": "cpu",
        "log_every": 2,
        "checkpoint_every": 2,
        "checkpoint_seconds": 0,
    }
    config = make_config(content)
    assert train(config, max_steps=3).interrupted
    assert (train(config).steps, train(config).steps) == (6, 6)
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (described["system"], described["system_of"]) == ("toy", "toy_system 1.2")
    report = evaluate(tmp_path / "run")
    assert report["rows"][0]["name"] == "toy, fused"
    assert report["people"] == 5
    face = imagine(tmp_path / "run", np.zeros((40, 80), np.float32), front_end="torch40").face
    assert face.shape == (64, 64, 3)


def test_ours_stand_in_pyproject_as_in_the_registry() -> None:
    stated = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    assert stated["entry-points"][GROUP] == OURS


def test_what_the_metadata_of_voxdata_says_adds_and_hides_nothing(install: Install) -> None:
    install("voxdata", {"sf2f": "gone:GONE", "older": "gone:OLDER"})
    assert system_names() == [*OURS]
    assert system_spec("sf2f").name == "sf2f"


@pytest.mark.parametrize("name", OURS)
def test_ours_are_what_they_are_called(name: str) -> None:
    assert system_spec(name).name == name


def test_two_systems_of_one_name_are_an_error_that_names_both(install: Install) -> None:
    install("toy_system", {"toy": "toy_system:TOY", "sf2f": "toy_system:TOY"})
    install("toy_other", {"toy": "toy_other:TOY"})
    with pytest.raises(ConfigError, match=r"system = 'sf2f': voxdata itself and toy_system have one of this name"):
        system_spec("sf2f")
    with pytest.raises(ConfigError, match=r"system = 'toy': (toy_\w+) and (?!\1)toy_\w+ have one of this name"):
        system_spec("toy")
    assert system_spec("align").name == "align"
    assert system_names() == [*OURS, "toy"]


@pytest.mark.parametrize(
    ("value", "source", "line"),
    [
        ("toy_broken:TOY", "import no_such_module", "cannot be loaded from toy_broken:TOY: ModuleNotFoundError"),
        ("toy_broken:TOY", "import sys; sys.exit(3)", "cannot be loaded from toy_broken:TOY: SystemExit: 3"),
        ("toy_broken:NONE", TOY, "cannot be loaded from toy_broken:NONE: AttributeError"),
        ("toy_broken:SIDE", TOY, "toy_broken:SIDE is 64; a models.systems.base.SystemSpec of the name broken"),
        ("toy_broken:TOY", TOY, r"of the name broken is needed"),
    ],
)
def test_a_broken_system_is_one_line_and_breaks_nothing_else(
    install: Install, value: str, source: str, line: str
) -> None:
    install("toy_broken", {"broken": value}, source)
    with pytest.raises(ConfigError, match=rf"^system broken( of toy_broken 1\.2)?.*{line}"):
        system_spec("broken")
    assert system_spec("sf2f").name == "sf2f"
    with pytest.raises(ConfigError, match=r"system = 'gan': no such system; there are .*, broken"):
        system_spec("gan")
    with pytest.raises(ConfigError, match=r"system = 'sf2': .*; did you mean sf2f\?"):
        system_spec("sf2")
