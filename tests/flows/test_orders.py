"""Every setting is reached from the command line, the flow `train` and the flow `retrain`, down to run.json."""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows import retrain as retraining
from flows import runs
from flows import train as train_flow
from flows.cli import main
from flows.orders import from_here, ordered, run_name, settings_from_pairs
from models.errors import ConfigError, SnapshotReadError
from models.systems.registry import system_names
from models.training.checkpoint import save_checkpoint, write_run_config
from models.training.config import RunConfig, run_settings
from models.training.settings import Declared, declared
from tests.flows.trained_root import PEOPLE, publish_people
from voxdata.format.errors import WeightsError
from voxdata.weights.entries import REGISTRY_VARIABLE

SETTINGS = declared(RunConfig)
USUAL = {"root", "snapshot", "run_dir"}


def another(setting: Declared, folder: Path) -> Any:
    """A value that is allowed and not the default, for any field, those of tomorrow too."""
    named = {
        "snapshot": "people01",
        "overrides": {"batch_size": 6},
        "weights": {"mobilefacenet": str(folder / "net.onnx")},
        "tracking": ["tensorboard"],
        "system": "voice2face",
        "preset": "small",
        "embedder": "mobilefacenet",
        "device": "cpu",
    }
    if setting.name in named:
        return named[setting.name]
    if setting.setting.path:
        return str(folder / setting.name)
    limits = setting.setting.limits
    if limits.choices:
        return next(choice for choice in limits.choices if choice != setting.default)
    if setting.kind is bool:
        return not setting.default
    return {int: 3, float: 0.25, str: "other"}[setting.kind]


def pair(setting: Declared, value: Any) -> str:
    return f"{setting.name}={value if isinstance(value, str) else json.dumps(value)}"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published") / "root"
    publish_people(root, "people01", PEOPLE, at="2026-01-01T00:00:00Z")
    return root


@pytest.fixture
def root(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published root; a file of weights that nobody knows, and trackers are taken to be installed."""
    (tmp_path / "net.onnx").write_bytes(b"a network of one's own")
    monkeypatch.setattr(runs, "_with_weights", dict)
    monkeypatch.setattr(runs, "check_snapshot", lambda *_: None)
    monkeypatch.setattr("models.training.config.check_tracking", lambda names: None)
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "embedder.pt").write_bytes(b"")
    return published


def by_command_line(root: Path, pairs: list[str]) -> int:
    return main(["train", "sf2f", "--root", str(root), *(part for each in pairs for part in ("--set", each))])


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_reached_by_set_and_by_both_flows(
    name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = SETTINGS[name]
    value = another(setting, tmp_path) if name != "root" else str(root)
    if not setting.required:
        assert value != setting.default
    reached: list[Any] = []

    prepare = runs.prepare

    def caught(told: dict[str, Any]) -> Any:
        found = prepare(told)
        reached.append(json.loads((found.folder / "run.json").read_text())[name])
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "prepare", caught)
    monkeypatch.setattr(train_flow, "fit", caught)
    assert by_command_line(root, [pair(setting, value)]) == 130
    with pytest.raises(KeyboardInterrupt):
        train_flow.train.fn(str(root), settings=[pair(setting, value)])
    assert reached == [value, value]
    monkeypatch.setattr(retraining, "train", train_flow.train.fn)
    if name in USUAL:
        with pytest.raises(ConfigError, match=rf"^{name} = .*; leave it out$"):
            retraining.retrain.fn(str(root), settings=[pair(setting, value)])
        return
    with pytest.raises(KeyboardInterrupt):
        retraining.retrain.fn(str(root), settings=[pair(setting, value)])
    assert reached == [value] * 3


def test_what_retrain_makes_of_a_champion_is_no_setting_beside_its_own(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"start = .*: warm starts with the champion's weights"):
        retraining.retrain.fn(str(root), settings=["start=elsewhere"], warm=True)


@pytest.mark.parametrize("flow", [train_flow.train, retraining.retrain], ids=["train", "retrain"])
def test_flows_repeat_no_default(flow: Any) -> None:
    parameters = inspect.signature(flow.fn).parameters
    for name, setting in SETTINGS.items():
        if name in parameters and not setting.required:
            assert parameters[name].default == setting.default, name


@pytest.mark.parametrize("system", system_names())
def test_a_number_of_every_preset_is_set_by_its_name(system: str) -> None:
    assert ordered(["steps=7", "batch_size=6", "learning_rate=1e-3"], system=system) == {
        "system": system,
        "steps": 7,
        "overrides": {"batch_size": 6, "learning_rate": 0.001},
    }


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        (["snapshot=20260101"], {"snapshot": "20260101"}),
        (["device=cuda:1", "seconds=90"], {"device": "cuda:1", "seconds": 90}),
        (["seconds=null", "start=", "cache_dir=none"], {"seconds": None, "start": None, "cache_dir": None}),
        (["normalise=none"], {"normalise": "none"}),
        (["tracking=mlflow"], {"tracking": ["mlflow"]}),
        (["tracking=[mlflow, tensorboard]"], {"tracking": ["mlflow", "tensorboard"]}),
        (["weights=net.onnx"], {"weights": "net.onnx"}),
        (["weights={facenet: 1.pt}"], {"weights": {"facenet": "1.pt"}}),
        (["crop_s=[0.5, 1e0]"], {"crop_s": [0.5, 1.0]}),
        (["seed=1", "seed=2"], {"seed": 2}),
    ],
)
def test_pairs_are_read_as_what_they_are_for(pairs: list[str], found: dict[str, Any]) -> None:
    assert settings_from_pairs(pairs) == found


def test_an_entry_of_a_setting_and_a_number_with_the_name_of_a_setting() -> None:
    said = settings_from_pairs(["ema=0.5", "overrides.ema=0.9", "weights.facenet=1", "overrides={batch_size: 4}"])
    assert run_settings({"system": "align", **said}) == {
        "system": "align",
        "ema": 0.5,
        "overrides": {"ema": 0.9, "batch_size": 4},
        "weights": {"facenet": "1"},
    }


@pytest.mark.parametrize(
    ("pairs", "line"),
    [
        (["batchsize=3"], r"batchsize: no such setting; did you mean batch_size\?; settings are root, .*; numbers of"),
        (["normalize=none"], r"normalize: no such setting; did you mean normalise\?; "),
        (["overrides.ema=1"], r"ema: no such setting"),
        (["seed.x=1"], r"seed\.x: seed is one value; write seed=VALUE"),
        (["overrides=3"], r"overrides = 3: must be of type Mapping"),
        (["weights=a", "weights.facenet=b"], r"weights = 'a' and weights\.facenet: give one of the two"),
        (["batch_size"], r"--set batch_size: write key=value"),
        (["batch_size=["], r"--set batch_size: '\[' is not a YAML value"),
    ],
)
def test_a_wrong_pair_is_one_line(pairs: list[str], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        ordered(pairs)


def test_paths_start_where_the_person_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = {"run_dir": "a", "start": "b", "cache_dir": None, "weights": {}}
    assert from_here(said) == {**said, "run_dir": str(tmp_path / "a"), "start": str(tmp_path / "b")}


def test_a_file_for_another_network_is_told_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, own = tmp_path / "some.onnx", tmp_path / "other.onnx"
    file.write_bytes(b"a network")
    own.write_bytes(b"a network of one's own")
    entry = (
        'file = "t.onnx"\nformat = "onnx"\nurl = "https://example.org/t.onnx"\nlicence = "MIT"\ncommercial = "yes"\n'
    )
    digest = hashlib.sha256(b"a network").hexdigest()
    (tmp_path / "own.toml").write_text(f'[weights.toy]\n{entry}trained_on = "nothing"\nsha256 = "{digest}"\n')
    monkeypatch.setenv(REGISTRY_VARIABLE, str(tmp_path / "own.toml"))
    with pytest.raises(WeightsError, match=r"weights\.facenet = \S+some\.onnx: that file is toy; for facenet, "):
        from_here({"weights": {"facenet": str(file)}})
    assert from_here({"weights": {"facenet": str(own)}})["weights"] == {"facenet": str(own)}


def test_what_makes_a_run_unusual_is_in_its_name() -> None:
    assert run_name({"seed": 3}, "0123456789") == "sf2f-tiny-self-trained-01234567-3"
    told = {"sex": "f", "front_end": "psf64", "normalise": "none"}
    assert run_name(told, "01234567") == "sf2f-tiny-psf64-none-f-self-trained-01234567-0"


def kept() -> list[str]:
    return [name for name, each in SETTINGS.items() if each.setting.kept]


@pytest.mark.parametrize("name", kept())
def test_what_is_trained_stays_the_same_on_resuming(name: str, tmp_path: Path) -> None:
    """A run from before a setting was there had its default."""
    before: dict[str, Any] = {"run": {}}
    write_run_config(tmp_path, before)
    save_checkpoint(tmp_path, 1, {"networks": {}})
    write_run_config(tmp_path, {"run": {name: SETTINGS[name].default}})
    changed = another(SETTINGS[name], tmp_path)
    with pytest.raises(Exception, match=f"was started with {name} = {SETTINGS[name].default}, now {changed};"):
        write_run_config(tmp_path, {"run": {name: changed}})


def test_a_front_end_that_is_missing_is_built_with_the_recipe_of_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "root-0.1", root)
    (recipe,) = (root / "recipes").glob("*.yaml")
    with pytest.raises(SnapshotReadError, match=f"or build again: voxdata build {recipe} --root {root} --set"):
        runs.prepare({"root": str(root), "system": "sf2f", "preset": "tiny", "front_end": "psf40"})
