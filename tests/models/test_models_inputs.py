"""A preset owns what it is trained on: its paper's log-mels, normalisation, embedder and crop."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from snapshot_writer import TinySnapshot

from flows.cards import lineage
from flows.orders import run_name
from models.data.snapshots import open_snapshot
from models.errors import ConfigError, SnapshotReadError
from models.evaluate.compare import compare
from models.evaluate.protocol import evaluate, open_store
from models.generator import Generator
from models.systems.registry import OURS, system_spec
from models.train import train
from models.training.config import make_config
from models.training.inputs import OF_PRESET, Inputs, check_judged, check_snapshot, unlike_preset
from voxdata.recipe.yaml_text import read_yaml
from voxdata.store.storage import open_storage

TRAINING_FLOWS = ("flows.train.train", "flows.retrain.retrain")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def configured(**settings: Any) -> Any:
    return make_config({"root": "ROOT", "snapshot": "tiny0001", "run_dir": "none", "device": "cpu", **settings})


@pytest.mark.parametrize(
    ("system", "preset", "inputs"),
    [
        ("sf2f", "tiny", ("torch40", "stated", "self-trained", "any")),
        ("sf2f", "paper-multi", ("torch40", "stated", "facenet", "any")),
        ("sf2f", "pretrained", ("resemblyzer", "stated", "facenet", "any")),
        ("voice2face", "paper", ("torch64", "utterance", "self-trained", "any")),
        ("voice2face", "code", ("sphinx64", "utterance", "self-trained", "any")),
        ("voice2face", "maniyar", ("torch64", "utterance", "self-trained", "haar")),
        ("avp_gan", "no-cbam", ("torch64", "utterance", "self-trained", "any")),
    ],
)
def test_what_nobody_says_is_the_preset_s(system: str, preset: str, inputs: tuple[str, ...]) -> None:
    for said in ({}, dict.fromkeys(("front_end", "normalise", "embedder", "crop"), OF_PRESET)):
        config = configured(system=system, preset=preset, **said)
        assert (config.front_end, config.normalise, config.embedder, config.crop) == inputs
        assert unlike_preset(config) == {}


def test_what_somebody_says_goes_before_the_preset_and_is_known_as_such() -> None:
    config = configured(system="voice2face", preset="paper", front_end="torch40", normalise="utterance")
    assert (config.front_end, config.normalise, config.embedder) == ("torch40", "utterance", "self-trained")
    assert unlike_preset(config) == {"front_end": "torch64"}


def test_the_page_says_of_every_preset_what_it_is_trained_on() -> None:
    rows = re.findall(
        r"^\| (`\w+`|all others) \| (.*?) \| `(\S+)` \| `(\S+)` \| `(\S+)` \| `(\S+)` \|$", PAGE.read_text(), re.M
    )
    (usual,) = (row[2:] for row in rows if row[0] == "all others")
    assert usual == dataclasses.astuple(Inputs())
    said = {(row[0].strip("`"), name): row[2:] for row in rows for name in re.findall(r"`([\w-]+)`", row[1])}
    owned = {
        (system, preset): dataclasses.astuple(inputs)
        for system in OURS
        for preset, inputs in system_spec(system).inputs.items()
    }
    assert said == owned
    for system, preset in owned:
        system_spec(system).make_preset(preset, {})  # there is one of that name


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"system": "avp_gan", "preset": "paper"},
            r"snapshot tiny0001 has no log-mels 'torch64', which preset paper of avp_gan takes; it has torch40: "
            r"take one of them with --set front_end=torch40, or build again: voxdata build tiny --root ROOT --set "
            r"'speech\.measure\.front_ends=\[torch40,torch64\]'$",
        ),
        ({"front_end": "psf40"}, r"has no log-mels 'psf40', which --set asks for; it has torch40:"),
        (
            {"system": "voice2face", "preset": "maniyar", "front_end": "torch40"},
            r"has portraits of crop 'aligned', not 'haar', which preset maniyar of voice2face takes: take them with "
            r"--set crop=any, or build again: voxdata build tiny --root ROOT --set faces\.render\.crop=haar$",
        ),
    ],
)
def test_a_snapshot_that_lacks_it_is_refused_with_the_command(
    tiny_snapshot: TinySnapshot, settings: dict[str, Any], line: str
) -> None:
    snapshot = open_snapshot(tiny_snapshot.root, tiny_snapshot.id).snapshot
    with pytest.raises(SnapshotReadError, match=line):
        check_snapshot(configured(**settings), snapshot)
    with pytest.raises(SnapshotReadError, match=line.replace("ROOT", ".*")):
        train(configured(**settings, root=str(tiny_snapshot.root)))


def test_a_snapshot_with_the_asked_for_crop_is_taken(make_snapshot: Callable[..., TinySnapshot]) -> None:
    made = make_snapshot({"train": 2})
    path = made.root / "snapshots" / f"{made.id}.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "recipe": {"faces": {"render": {"crop": "haar"}}}}))
    snapshot = open_snapshot(made.root, made.id).snapshot
    check_snapshot(configured(crop="haar"), snapshot)
    check_snapshot(configured(), snapshot)
    with pytest.raises(SnapshotReadError, match="has portraits of crop 'haar', not 'aligned', which --set asks for"):
        check_snapshot(configured(crop="aligned"), snapshot)


def test_a_run_s_name_says_what_is_not_the_preset_s() -> None:
    assert run_name({"system": "voice2face", "preset": "paper"}, "abc") == "voice2face-paper-self-trained-abc-0"
    said = {"system": "voice2face", "preset": "paper", "front_end": "torch40"}
    assert run_name(said, "abc") == "voice2face-paper-torch40-self-trained-abc-0"
    assert run_name({"front_end": "torch40", "embedder": "preset"}, "abc") == "sf2f-tiny-self-trained-abc-0"
    assert run_name({"preset": "paper"}, "abc") == "sf2f-paper-facenet-abc-0"


def test_the_card_shows_what_is_not_the_preset_s(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    train(
        tiny_snapshot.config(run_dir, steps=1, normalise="utterance", overrides={"fuser_steps": 0, "embedder_steps": 1})
    )
    assert json.loads((run_dir / "config.json").read_text())["unlike_preset"] == {"normalise": "stated"}
    assert lineage(open_storage(tiny_snapshot.root), run_dir)["normalise, not the preset's stated"] == "utterance"


def test_a_run_is_judged_on_what_it_was_trained_on(
    make_snapshot: Callable[..., TinySnapshot], tiny_snapshot: TinySnapshot, tmp_path: Path
) -> None:
    """In its own version as it was; in another one that lacks its log-mels or has another crop it is refused."""
    run_dir = tmp_path / "run"
    numbers = {"fuser_steps": 0, "embedder_steps": 1}
    train(tiny_snapshot.config(run_dir, steps=1, normalise="utterance", overrides=numbers))
    trained = Generator(run_dir, torch.device("cpu"))
    config = make_config(trained.run["run"])
    opened = open_snapshot(config.root, config.snapshot)
    assert open_store(config, trained, opened, "test").normalisation.kind == "utterance"
    check_judged(config, opened.snapshot)
    other = make_snapshot({"train": 3, "test": 3}, identifier="other002")
    path = other.root / "snapshots" / "other002.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "recipe": {"faces": {"render": {"crop": "haar"}}}}))
    there = open_snapshot(other.root, "other002").snapshot
    check_judged(config, there)
    cropped = dataclasses.replace(config, crop="aligned")
    with pytest.raises(
        SnapshotReadError,
        match=r"crop 'aligned', and snapshot other002 has those of crop 'haar': .*--set faces\.render\.crop=aligned$",
    ):
        check_judged(cropped, there)
    read = json.loads((run_dir / "config.json").read_text())
    read["run"]["front_end"] = "psf40"
    (run_dir / "config.json").write_text(json.dumps(read))
    line = (
        r"hears log-mels 'psf40', and snapshot other002 has torch40: build it with both: voxdata build tiny --root .*"
    )
    for asked in (
        lambda: evaluate(run_dir, device="cpu", root=str(other.root), snapshot_id="other002"),
        lambda: compare([run_dir], snapshot_id="other002", seconds=1.0, root=str(other.root), device="cpu"),
    ):
        with pytest.raises(SnapshotReadError, match=line + r"front_ends=\[torch40,psf40\]'$"):
            asked()


def test_deployments_leave_what_is_trained_on_to_the_preset_and_there_is_one_of_every_system_that_hears() -> None:
    deployments = read_yaml((PAGE.parents[1] / "prefect.yaml").read_text())["deployments"]
    trainings = [each["parameters"] for each in deployments if each["entrypoint"] in TRAINING_FLOWS]
    assert {each.get("system", "sf2f") for each in trainings} == {name for name in OURS if system_spec(name).hears}
    for parameters in trainings:
        said = {key: value for key, value in parameters.items() if key in ("system", "preset")}
        config = configured(**said)
        assert unlike_preset(config) == {}
        assert not parameters.keys() & {"front_end", "normalise", "embedder", "crop", "settings"}
        assert config.numbers() == config.spec().make_preset(config.preset, {})


def test_a_value_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="crop = 'round': must be one of preset, any, aligned, haar"):
        configured(crop="round")
    with pytest.raises(ConfigError, match="system = 'nobody': no such system"):
        configured(system="nobody")
