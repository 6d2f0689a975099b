"""Several runs in one table: an ablation, and two resolutions, on the same pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from snapshot_writer import TinySnapshot, write_snapshot

from flows.cli import main as voxdata
from models.errors import EvaluationError
from models.evaluate.__main__ import main
from models.evaluate.compare import compare
from models.evaluate.side_by_side import differences, evaluate_beside
from models.train import train


@pytest.fixture(scope="module")
def runs(tiny_snapshot: TinySnapshot, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run, the same without the L1 loss, and one of half the side."""
    folder = tmp_path_factory.mktemp("beside")
    changes = {"whole": {}, "without-l1": {"weight_l1": 0.0}, "small": {"decoder_channels": [24, 16, 8]}}
    for name, over in changes.items():
        train(tiny_snapshot.config(folder / name, steps=2, checkpoint_every=100, overrides=over))
    return [folder / name for name in changes]


@pytest.mark.long
def test_each_row_says_what_differs_and_how_much_better_it_is(runs: list[Path], tiny_snapshot: TinySnapshot) -> None:
    result = evaluate_beside(runs, seconds=1.0, device="cpu")
    assert json.loads((runs[0] / "comparison.json").read_text()) == result
    whole, without, small = result["rows"]
    assert (whole["differs"], whole["better"]) == ({}, {})
    assert without["differs"] == {"weight_l1": 0.0}
    assert small["differs"] == {"decoder_channels": [24, 16, 8]}
    assert [row["side_px"] for row in result["rows"]] == [64, 64, 32]
    pair = compare(runs[:2], snapshot_id=tiny_snapshot.id, seconds=1.0, device="cpu")
    before, after = (run.values["l1"] for run in pair.runs)
    assert without["better"]["l1"]["value"] == pytest.approx((before - after).mean(), abs=1e-6)
    assert without["better"]["l1"]["people"] == 5
    lines = (runs[0] / "comparison.md").read_text().splitlines()
    assert (
        "those of the n = 5 people for whom both runs have a finite face"
        in lines[lines.index("## Better than the first run by") + 2]
    )
    assert "| self-trained | differs in | centred cosine | cosine | L1 | mAP % |" in lines
    resolutions = [line for line in lines[lines.index("## Resolution") :] if " pixels |" in line]
    assert [line.split("|")[2].strip() for line in resolutions] == ["32 pixels", "64 pixels", "64 pixels"]


@pytest.mark.long
def test_the_command_takes_several_runs(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run) for run in runs[:2]]) == 0
    printed = capsys.readouterr().out
    assert "| without-l1 | weight_l1 0.0 |" in printed
    assert "## Resolution" not in printed
    assert voxdata(["evaluate", str(runs[1]), str(runs[2])]) == 0
    assert "| small | decoder_channels [24, 16, 8], weight_l1 1.0 |" in capsys.readouterr().out
    for command in (main, lambda arguments: voxdata(["evaluate", *arguments])):
        assert command([*(str(run) for run in runs), "--protocol", "avp"]) > 0
        assert "--protocol and --enhance judge one run" in capsys.readouterr().err


def test_runs_of_two_snapshots_are_not_beside_each_other(runs: list[Path], tmp_path: Path) -> None:
    other = write_snapshot(tmp_path / "other", {"train": 4, "test": 2}, identifier="tiny0002")
    train(other.config(tmp_path / "run", steps=2))
    with pytest.raises(EvaluationError, match=r"was trained on snapshot .*; compare runs of one snapshot"):
        evaluate_beside([runs[0], tmp_path / "run"], device="cpu")


def test_of_another_system_no_single_numbers_are_said() -> None:
    first = {"system": "sf2f", "preset": "tiny", "seed": 0, "numbers": {"batch_size": 8, "weight_l1": 1.0}}
    other = first | {"system": "align", "numbers": {"batch_size": 4}}
    assert differences(first, other) == {"system": "align"}
    assert differences(first, first | {"seed": 1}) == {"seed": 1}
