"""Enhanced portraits: from our own run or the published file, what is refused, and what they do to identity."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as nnf
from enhance_kit import SMALL, SMALL_64, Colour, enhance_config
from snapshot_writer import TinySnapshot
from torch import Tensor

from models.errors import CheckpointError, ConfigError, EvaluationError, PretrainedError
from models.evaluate import protocol
from models.evaluate.report import markdown
from models.generator import Generator
from models.pretrained import files
from models.pretrained.tensors import fill, read_tensors
from models.systems.enhance.faces import FaceEnhancer, identity_kept, load_enhancer
from models.systems.enhance.networks import Enhancer
from models.train import train

FULL = {"narrow": 1.0, "latent": 512, "component_channels": [64, 128, 256]}


@pytest.fixture(scope="module")
def trained(tiny_snapshot: TinySnapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("enhance") / "run"
    train(enhance_config(tiny_snapshot, run_dir, steps=1))
    return run_dir


def test_a_run_enhances_portraits_of_any_side(trained: Path) -> None:
    enhance = load_enhancer(str(trained), {}, torch.device("cpu"))
    assert enhance.name == "run, step 1"
    for side in (16, 32, 100):
        out = enhance(torch.rand(5, 3, side, side) * 2 - 1)
        assert out.shape == (5, 3, 32, 32)
        assert float(out.abs().max()) <= 1
    portraits = torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(enhance(portraits), enhance(portraits), atol=0, rtol=0)


class Unchanged(Enhancer):
    """Gives back what it is given."""

    def forward(self, image_B3SS: Tensor, noise: object = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        return image_B3SS, ()


def test_who_enhances_nothing_moves_nothing() -> None:
    torch.manual_seed(0)
    enhance = FaceEnhancer(name="nothing", network=Unchanged(SMALL), device=torch.device("cpu"))
    smooth = nnf.interpolate(torch.rand(2, 3, 4, 4) * 2 - 1, (32, 32), mode="bilinear")
    torch.testing.assert_close(enhance(smooth)[:, :, 2:-2, 2:-2], smooth[:, :, 2:-2, 2:-2], atol=0.05, rtol=0)
    before, after = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    before[:, 0], after[0, 0], after[1, 1] = 1.0, 1.0, 1.0
    torch.testing.assert_close(identity_kept(Colour(), before, after), torch.tensor([1.0, 0.0]))


def test_the_published_file_is_read_whole_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, path = Enhancer(SMALL), tmp_path / "GFPGANv1.4.pth"
    torch.save({"params_ema": network.state_dict()}, path)
    read = fill(lambda: Enhancer(SMALL), read_tensors(path, "params_ema"), path)
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(read(image)[0], network(image)[0], atol=0, rtol=0)
    cpu = torch.device("cpu")
    with pytest.raises(PretrainedError, match=r"gfpgan: .* has sha256 [0-9a-f]{64}; get GFPGANv1.4.pth \(https"):
        load_enhancer("gfpgan", {"gfpgan": str(path)}, cpu)
    unpinned = dataclasses.replace(files.PUBLISHED["gfpgan"], sha256=None)
    monkeypatch.setattr(files, "PUBLISHED", {**files.PUBLISHED, "gfpgan": unpinned})
    with pytest.raises(PretrainedError, match=r"does not fit Enhancer: it lacks conv_body_down.3"):
        load_enhancer("gfpgan", {"gfpgan": str(path)}, cpu)
    torch.save({"params": network.state_dict()}, path)
    with pytest.raises(PretrainedError, match=r"it holds params .OrderedDict. and no params_ema"):
        Enhancer.from_file(path)
    with pytest.raises(PretrainedError, match=r"gfpgan: its weight file is not given; get GFPGANv1.4.pth"):
        load_enhancer("gfpgan", {}, cpu)


def test_what_is_no_enhancer_is_one_line(tiny_snapshot: TinySnapshot, trained: Path, tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    with pytest.raises(ConfigError, match="enhancer 'gfp': is neither gfpgan nor the folder of a run of the system"):
        load_enhancer("gfp", {}, cpu)
    (tmp_path / "config.json").write_text(json.dumps({"system": "sf2f"}))
    with pytest.raises(ConfigError, match="is a run of the system sf2f; train one with enhance"):
        load_enhancer(str(tmp_path), {}, cpu)
    with pytest.raises(ConfigError, match=r"restores faces and hears no voice; give it beside a run"):
        Generator(trained, cpu)
    described = json.loads((trained / "config.json").read_text())
    (tmp_path / "config.json").write_text(
        json.dumps(described | {"numbers": {**described["numbers"], "narrow": 0.125}})
    )
    (tmp_path / "checkpoints").symlink_to(trained / "checkpoints")
    with pytest.raises(CheckpointError, match=r"its checkpoint does not fit its config\.json"):
        load_enhancer(str(tmp_path), {}, cpu)


def test_its_effect_on_identity_has_a_table_of_its_own(
    tiny_snapshot: TinySnapshot, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    train(tiny_snapshot.config(run, steps=1, overrides={"fuser_steps": 1}))
    with pytest.raises(EvaluationError, match="protocol enhance: no enhancer is given; add --enhance gfpgan"):
        protocol.evaluate(run, device="cpu", protocols=["enhance"])
    with pytest.raises(PretrainedError, match=r"gfpgan: its weight file is not given; get GFPGANv1.4.pth"):
        protocol.evaluate(run, device="cpu", enhance="gfpgan")
    result = protocol.evaluate(run, device="cpu", protocols=["full"], enhance=str(trained))
    (table,) = result["tables"]
    assert (table["table"], table["enhancer"]) == ("enhance", "run, step 1")
    rows = {row["name"]: row["figures"] for row in table["rows"]}
    assert {"sf2f, fused", "sf2f, fused, shuffled", "real photo"} <= rows.keys()
    for name in ("sf2f, fused", "real photo"):
        before, after, change = (rows[name][f"cosine_{key}"]["value"] for key in ("before", "after", "change"))
        assert change == pytest.approx(after - before)
        assert -1 <= rows[name]["kept"]["value"] <= 1
    text = markdown(result)
    assert "## Who faces look like before and after run, step 1" in text
    assert (
        "| self-trained | n | cosine, before to after | to the person, before | to the person, after | change |" in text
    )
    nothing = FaceEnhancer(name="nothing", network=Unchanged(SMALL_64), device=torch.device("cpu"))
    monkeypatch.setattr(protocol, "load_enhancer", lambda name, weights, device: nothing)
    unchanged = protocol.evaluate(run, device="cpu", protocols=["full"], enhance="nothing")["tables"][0]["rows"]
    figures = next(row["figures"] for row in unchanged if row["name"] == "sf2f, fused")
    assert figures["kept"]["value"] == pytest.approx(1, abs=0.01)
    assert figures["cosine_change"]["value"] == pytest.approx(0, abs=0.02)


def test_missing_files_are_named_before_anything_starts(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    with pytest.raises(PretrainedError) as refusal:
        train(enhance_config(tiny_snapshot, tmp_path / "run", preset="paper", overrides={"side_px": 512} | FULL))
    said = str(refusal.value)
    assert "gfpgan: its weight file is not given, and without it the start from published weights would be off" in said
    assert "get GFPGANv1.4.pth (https://github.com/TencentARC/GFPGAN/releases" in said
    assert "vgg19: its weight file is not given, and without it the perceptual loss would be off" in said
