"""Do the systems learn? On simulated people whose voices say nothing, something or all there is to say of their faces.

    python benchmarks/learning.py [--seconds 150] [--folder DIR] [--device cuda --preset small]

1,000 people train, 200 are held out; voices and faces are tied by a link of 0, 0.5 and 1. `sf2f` and `align` train at
every link, `avp_gan` and `voice2face` at 1, and `sf2f` at 1 without each of its losses. Every training has the same box
of time. Figures are centred recall of the held-out people in galleries of 100 and, within one sex, of 20, judged by the
face embedder that the first run of a link trains on the training people and that all its runs share. The known optimum
paints the face that is expected given the voice. `benchmarks/results/learning.json` holds what was printed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from figures import Figure, Section, show
from learning_data import FRONT_END, known_optimum, make_root

from models.config import make_config
from models.evaluate import evaluate
from models.systems import SYSTEMS
from models.train import train

LINKS = (0.0, 0.5, 1.0)
SEED = 40  # presets were chosen on other seeds
R100, SAME_SEX = "centred_recall_at_10_of_100", "centred_same_sex_recall_at_5_of_20"
CHANCE = {R100: 0.10, SAME_SEX: 0.25}
OPTIMUM = "known optimum"
OF_OPTIMUM = 0.8
LOSSES = ("l1", "adversarial", "identity", "perceptual")
Rows = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """What all trainings of one benchmark share."""

    folder: Path
    people: int
    unseen: int
    seconds: float
    preset: str
    device: str
    workers: int


def main() -> None:
    """Simulate, train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=150.0, help="time box of each training")
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--unseen", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="keep data and runs here; a run that is there is not trained again")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", help="not needed: everybody is simulated")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        setting = Setting(
            folder=(options.folder or Path(temporary)).absolute(),
            people=options.people,
            unseen=options.unseen,
            seconds=options.seconds,
            preset=options.preset,
            device=options.device,
            workers=options.workers,
        )
        show([*_by_link(setting), _others(setting), _without(setting)], "learning")


def _by_link(setting: Setting) -> list[Section]:
    sections = []
    for system in ("sf2f", "align"):
        found = {link: _judged(setting, system, link) for link in LINKS}
        figures = [_chance_figure(f"{system}, link 0", found[0.0][f"{system}, fused"])]
        figures += [_plain(f"{system}, link {link:g}", rows, f"{system}, fused", R100) for link, rows in found.items()]
        figures.append(_of_optimum(system, found[1.0]))
        figures += [
            _above_sex(system, found[1.0]),
            _plain("the same within one sex", found[1.0], f"{system}, fused", SAME_SEX),
        ]
        table = [_line(f"link {link:g}", name, row) for link, rows in found.items() for name, row in rows.items()]
        sections.append(Section(title=f"{system}, three links", figures=figures, tables={"all rows": table}))
    return sections


def _others(setting: Setting) -> Section:
    figures, table = [], []
    for system in ("avp_gan", "voice2face"):
        rows = _judged(setting, system, 1.0)
        figures.append(_plain(f"{system}, link 1", rows, f"{system}, fused", R100))
        table += [_line(system, name, row) for name, row in rows.items()]
    return Section(title="the others at link 1", figures=figures, tables={"all rows": table})


def _without(setting: Setting) -> Section:
    """SF2F at link 1 without one loss each; everything else as in the first section."""
    table = []
    for loss in (None, *LOSSES):
        over = {} if loss is None else {f"weight_{loss}": 0.0}
        rows = _judged(setting, "sf2f", 1.0, f"-without-{loss}" if loss else "", over)
        table.append(_line("all losses" if loss is None else f"without {loss}", "sf2f, fused", rows["sf2f, fused"]))
    return Section(title="sf2f without each loss, link 1", tables={"fused": table})


def _judged(
    setting: Setting, system: str, link: float, suffix: str = "", overrides: Mapping[str, Any] | None = None
) -> Rows:
    """Rows of the evaluation by name, of a run that is trained unless it is there."""
    root = setting.folder / f"link-{link:g}"
    sizes = {"people": setting.people, "unseen": setting.unseen, "link": link, "seed": SEED}
    done = root / "snapshot.txt"
    if not done.exists():
        identifier = make_root(root, **sizes, workers=setting.workers)
        done.write_text(identifier)
    run_dir = root / "runs" / f"{system}{suffix}"
    result = run_dir / "evaluation.json"
    if not result.exists():
        config = make_config(
            {
                "root": str(root),
                "snapshot": done.read_text(),
                "run_dir": str(run_dir),
                "system": system,
                "preset": setting.preset,
                "overrides": dict(_unbounded(system, setting.preset)) | dict(overrides or {}),
                "front_end": FRONT_END,
                "seconds": setting.seconds,
                "device": setting.device,
                "seed": 1,
            }
        )
        _share_embedder(root, run_dir)
        train(config)
        evaluate(run_dir, references={OPTIMUM: known_optimum(**sizes)}, protocols=["full"], device=setting.device)
    rows = json.loads(result.read_text())["rows"]
    return {row["name"]: row["figures"] for row in rows}


def _share_embedder(root: Path, run_dir: Path) -> None:
    """All runs on the same people have one judge: the embedder that the first of them trained."""
    for trained in sorted(root.glob("runs/*/embedder.pt")):
        run_dir.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trained, run_dir / "embedder.pt")
        return


def _unbounded(system: str, preset: str) -> Mapping[str, int]:
    """Numbers of steps that a box of time ends; the last stage of sf2f, its fuser, keeps its own."""
    names = {field.name for field in dataclasses.fields(SYSTEMS[system].make_preset(preset, {}))}
    return {name: 10**6 for name in ("steps", "align_steps", "speaker_steps") if name in names}


def _plain(name: str, rows: Rows, row: str, key: str, **bounds: Any) -> Figure:
    figure = rows[row][key]
    label = "R@10 of 100" if key == R100 else "R@5 of 20 of one sex"
    return Figure(name=f"{name}: {label}", value=figure["value"], n=0, low=figure["low"], high=figure["high"], **bounds)


def _chance_figure(name: str, figures: Mapping[str, Any]) -> Figure:
    """0 where the interval of recall holds chance."""
    figure = figures[R100]
    outside = max(0.0, figure["low"] - CHANCE[R100], CHANCE[R100] - figure["high"])
    return Figure(name=f"{name}: how far chance is outside the interval", value=outside, n=0, must=0.0)


def _of_optimum(system: str, rows: Rows) -> Figure:
    reached, optimum = (rows[name][R100]["value"] - CHANCE[R100] for name in (f"{system}, fused", OPTIMUM))
    must = OF_OPTIMUM if system == "sf2f" else None
    name = f"{system}, link 1: share of the way from chance to the known optimum"
    return Figure(name=name, value=reached / optimum, n=0, must=must, higher=True)


def _above_sex(system: str, rows: Rows) -> Figure:
    low, sex = rows[f"{system}, fused"][R100]["low"], rows["sex only"][R100]["value"]
    return Figure(
        name=f"{system}, link 1: low end of recall above the sex-only oracle",
        value=low - sex,
        n=0,
        must=0.0,
        higher=True,
    )


def _line(what: str, name: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    cells = {
        key: figures.get(key, {}).get("value", float("nan"))
        for key in (R100, SAME_SEX, "centred_cosine", "cosine", "l1")
    }
    return {"run": what, "row": name, **cells}


if __name__ == "__main__":
    main()
