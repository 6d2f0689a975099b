"""`--enhance`: what it takes, and a published file that is not here."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli import app
from flows.cli.models import enhancer
from flows.runs import enhancer_files
from flows.train import judge
from tests.flows.enhancer_writer import write_enhancer
from voxdata.format.errors import WeightsError
from voxdata.weights import CACHE_VARIABLE


def test_enhance_is_the_published_network_unless_another_is_named() -> None:
    def enhance(*more: str) -> list[str] | None:
        _, bound, _ = app.parse_args(["imagine", "voice.wav", "--run", "run", *more], exit_on_error=False)
        return bound.arguments.get("enhance")

    assert enhancer(enhance()) is None
    assert enhancer(enhance("--enhance")) == "gfpgan"
    assert enhancer(enhance("--enhance", "runs/mine")) == "runs/mine"
    _, bound, _ = app.parse_args(["evaluate", "run", "--enhance", "gfpgan"], exit_on_error=False)
    assert bound.arguments["enhance"] == "gfpgan"


def test_the_flow_does_not_judge_what_hears_no_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    judged: list[Path] = []
    monkeypatch.setattr("flows.train.evaluate_run", judged.append)
    run = write_enhancer(tmp_path / "enhancer")
    with caplog.at_level("INFO"):
        judge.fn(str(run))
    assert judged == []
    assert f"voxdata evaluate RUN --enhance {run}" in caplog.text


def test_a_missing_file_is_one_line_with_url_and_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert enhancer_files("runs/mine") == {}
    with pytest.raises(WeightsError) as refusal:
        enhancer_files("gfpgan")
    said = str(refusal.value)
    assert "GFPGANv1.4.pth" in said
    assert "https://github.com/TencentARC/GFPGAN/releases/download/v1.3.0/GFPGANv1.4.pth" in said
    assert "voxdata weights import" in said
    assert "\n" not in said
