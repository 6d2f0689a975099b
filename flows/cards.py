"""A model card per run: `<run>/model-card.md`, written anew when the run is evaluated or its alias changes.

Its header, YAML between two lines of dashes, is that of model cards of the Hugging Face hub: uploaded as README.md it
names system, tags and figures there. Licence and data sets of the hub are the publisher's to add.
"""

from __future__ import annotations

import functools
import json
import math
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from models.evaluate.leakage import heard_before
from models.evaluate.report import stem
from models.training.checkpoint import checkpoints, read_run_config
from voxdata.catalog import champions
from voxdata.catalog.looks import TEST, VALIDATION, chosen_on_test, looks, times
from voxdata.catalog.snapshot import load_snapshot
from voxdata.format.atomic import write_atomic
from voxdata.format.digests import file_sha256
from voxdata.format.errors import SnapshotError
from voxdata.format.json_text import read_object
from voxdata.store import journal
from voxdata.store.storage import Storage

CARD = "model-card.md"
_DASHES = "---\n"
DECISION = "decision.json"
_DECIDED_ON = "validation"
_SHOWN = ("cosine", "centred_cosine", "map", "recall_at_5", "centred_recall_at_5_of_20", "centred_recall_at_10_of_100")
_NOTICE = (
    "A generated face is a plausible face for a voice. It shows no real person and identifies nobody. Do not use it to "
    "look for, name, or decide anything about a person."
)


def write_card(storage: Storage, run_dir: Path) -> Path:
    """Write the card of a run from its folder, the journal and its snapshot; returns its path."""
    config = read_run_config(run_dir)
    named = champions.aliases(storage).get(config["system"], champions.Aliases())
    alias = next((name for name, run in vars(named).items() if run == run_dir.name), None)
    parts = [
        f"# {run_dir.name}" + (f" ({alias} of {config['system']})" if alias else ""),
        _NOTICE,
        "## Lineage",
        _table(_lineage(storage, run_dir, config)),
    ]
    evaluation = _read(run_dir / f"{stem(TEST)}.json") or _read(run_dir / f"{stem(VALIDATION)}.json")
    header = _header(run_dir.name, config["system"], evaluation)
    if evaluation:
        parts += ["## Figures", *_figures(evaluation)]
    parts += ["## Test split", _looked(storage, run_dir.name)]
    decision = _read(run_dir / DECISION)
    if decision:
        parts += ["## Decision", *_decision(decision)]
    parts += [
        "## Limits",
        "Trained on celebrities of one corpus, who did not agree to this use: it repeats who is and who is not among "
        "them. A voice says something about sex, age and build, and next to nothing about a particular face. Figures "
        "hold for the embedder and the people that are named beside them.",
    ]
    path = run_dir / CARD
    write_atomic(path, lambda file: file.write((header + "\n\n".join(parts) + "\n").encode()))
    return path


def card_text(run_dir: Path) -> str:
    """The card of a run as people read it, without its header."""
    text = (run_dir / CARD).read_text(encoding="utf-8")
    return text.partition(f"\n{_DASHES}")[2] if text.startswith(_DASHES) else text


def _header(run: str, system: str, evaluation: Mapping[str, Any] | None) -> str:
    content: dict[str, Any] = {"library_name": "voxdata", "tags": ["speech-to-face", system]}
    judged = next((row for row in (evaluation or {}).get("rows", ()) if row["kind"] == "system"), None)
    if evaluation and judged:
        figures = {name: figure["value"] for name, figure in judged["figures"].items()}
        result = {
            "task": {"type": "speech-to-face"},
            "dataset": {"type": "voxdata", "name": f"snapshot {evaluation['snapshot']}", "split": evaluation["split"]},
            "metrics": [
                {"type": name, "value": value}
                for name, value in figures.items()
                if value is not None and math.isfinite(value)
            ],
        }
        content["model-index"] = [{"name": run, "results": [result]}]
    return f"{_DASHES}{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}{_DASHES}"


def lineage(storage: Storage, run_dir: Path) -> dict[str, Any]:
    """What a run was made from and by: snapshot, recipe, weights, settings, code."""
    return dict(_lineage(storage, run_dir, read_run_config(run_dir)))


def _lineage(storage: Storage, run_dir: Path, config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = checkpoints(run_dir)
    try:
        snapshot = load_snapshot(storage, config["snapshot"])
        recipe, redacted = snapshot.recipe_hash, snapshot.redacted
    except SnapshotError:
        recipe, redacted = None, False
    settings = config["run"]
    rows = [
        ("system", config["system"]),
        ("preset", config["preset"]),
        ("overrides", json.dumps(settings["overrides"], sort_keys=True)),
        *((f"{key}, not the preset's {own}", settings[key]) for key, own in config.get("unlike_preset", {}).items()),
        ("seed", config["seed"]),
        ("snapshot", config["snapshot"] + (" (redacted: somebody in it was forgotten)" if redacted else "")),
        ("recipe hash", recipe),
        ("training people", config["people"]),
        ("front end", config["front_end"]["name"]),
        ("sha256 of the front end's network", config["front_end"].get("weights", {}).get("sha256")),
        ("leakage", heard_before(config["front_end"])),
        ("embedder", config["embedder"]["name"]),
        ("embedder sha256", config["embedder"]["sha256"]),
        *((f"sha256 of {name}", _digest(Path(file))) for name, file in sorted(settings["weights"].items())),
        ("started from", settings.get("start")),
        ("checkpoint", found[-1].name if found else None),
        ("checkpoint sha256", file_sha256(found[-1]) if found else None),
        ("code", f"voxdata {_code(storage, run_dir.name)}, torch {config['torch']}, Python {config['python']}"),
    ]
    return [(name, value) for name, value in rows if value is not None]


def _digest(file: Path) -> str:
    return file_sha256(file) if file.is_file() else f"unknown: {file} is gone"


def _code(storage: Storage, run: str) -> str:
    """The version, and the commit in a checkout, that trained a run last."""
    stated = [fact["code_version"] for fact in journal.read_new(storage, "runs") if fact["run_id"] == run]
    return stated[-1] if stated and stated[-1] else code_version()


def _figures(evaluation: Mapping[str, Any]) -> list[str]:
    rows = [
        (row["name"], *(_figure(row["figures"].get(name)) for name in _SHOWN))
        for row in evaluation["rows"]
        if row["kind"] == "system" or row["name"] in ("chance", "mean face", "linear voice regression")
    ]
    shown = [0, *(at for at in range(1, len(_SHOWN) + 1) if any(row[at] for row in rows))]
    heading = ("", *_SHOWN)
    about = (
        f"{evaluation['people']} people of split {evaluation['split']} of snapshot {evaluation['snapshot']}, judged by "
        f"{evaluation['embedder']['name']}; 95 % intervals over people."
    )
    return [about, _rows([heading[at] for at in shown], [[row[at] for at in shown] for row in rows])]


def _looked(storage: Storage, run: str) -> str:
    counted = looks(storage)
    said = f"Looked at {times(counted[run])} at this run, {times(counted.total())} at all runs of this root."
    if chosen_on_test(storage, run):
        return f"{said} The run was chosen on test people, by an older version: its figures on them are too good."
    return said


def _decision(decision: Mapping[str, Any]) -> list[str]:
    before = decision["champion"]["run"] if decision["champion"] else "none"
    judged = decision.get(_DECIDED_ON) or decision["test"]  # older versions chose on test people
    about = (
        f"{decision['at']}: **{decision['outcome']}**, the champion was {before}. Both on {judged['people']} people of "
        f"split {judged['split']} of snapshot {judged['snapshot']} (pairs {judged['pairs']}), by "
        f"{decision['embedder']['name']}, {decision['gate']['metric']} fixed beforehand."
    )
    guards = [
        [guard["name"], *(_number(guard[key]) for key in ("champion", "challenger", "limit")), guard["outcome"]]
        for guard in decision["guards"]
    ]
    reasons = "\n".join(f"- {reason}" for reason in decision["reasons"])
    return [about, reasons, _rows(["guard", "champion", "challenger", "limit", "outcome"], guards)]


def _table(rows: list[tuple[str, Any]]) -> str:
    return _rows(["what", "value"], [[name, str(value)] for name, value in rows])


def _rows(heading: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, ["---"] * len(heading), *rows))


def _figure(figure: Mapping[str, float] | None) -> str:
    return "" if figure is None else f"{figure['value']:.4g} [{figure['low']:.4g}, {figure['high']:.4g}]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return read_object(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


CHECKOUT = Path(__file__).resolve().parent.parent


@functools.cache
def code_version() -> str:
    """`0.1.0`, in a checkout `0.1.0+g<commit>`, with `.changed` where tracked files differ from that commit."""
    try:
        if _git("rev-parse", "--show-toplevel") != str(CHECKOUT):
            return version("voxdata")
        changed = ".changed" if _git("status", "--porcelain", "--untracked-files=no") else ""
        return f"{version('voxdata')}+g{_git('rev-parse', 'HEAD')}{changed}"
    except (OSError, subprocess.SubprocessError):
        return version("voxdata")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()
