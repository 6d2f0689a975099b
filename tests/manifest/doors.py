"""Every way by which the manifest enters the product. When modules move, only this file changes.

The rest of `tests/manifest` knows folders, tables and numbers. What is public and will stay (the command line, `import
voxdata`, run.json) is preferred here to modules.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from cyclopts import App, Argument

import voxdata
from flows.cli import app
from voxdata.catalog.crawled import FOLDERS
from voxdata.catalog.database import create
from voxdata.catalog.named import comparing_queries, named_queries
from voxdata.catalog.versions import run_query_at
from voxdata.dataset.opened import Dataset
from voxdata.people.identities import bucket_of
from voxdata.people.splits import assign, holdouts
from voxdata.pipeline.stages import SPEECH_AUDIO, STAGES
from voxdata.recipe.effect import PretrainedFile, settings_of
from voxdata.recipe.reading import load_recipe, shipped_recipes
from voxdata.store.storage import open_storage
from voxdata.tables.schemas import IDENTITIES

REPOSITORY = Path(__file__).resolve().parents[2]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def run_module(module: str, *arguments: str, folder: Path, **environment: str) -> str:
    """`python -m MODULE ARGUMENTS` in a folder; what it prints. Raises `RuntimeError` with what went wrong."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"python -m {module} {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def command(*arguments: str, folder: Path, **environment: str) -> str:
    """`voxdata ARGUMENTS` in a folder."""
    return run_module("flows.cli", *arguments, folder=folder, **environment)


def simulate(folder: Path, *, people: int, photos: int, clips: int, seed: int) -> None:
    """Painted people under `folder/corpus`."""
    sizes = {"people": people, "photos": photos, "clips": clips, "seed": seed}
    command("simulate", "corpus", *(f"--{name}={size}" for name, size in sizes.items()), folder=folder)


def build(folder: Path, recipe: str, settings: Sequence[str]) -> None:
    """Build `folder/root`."""
    named = [part for setting in settings for part in ("--set", setting)]
    command("build", recipe, "--root", "root", *named, folder=folder)


def open_dataset(root: Path, snapshot: str | None = None) -> Dataset:
    """A version under a root; the current one by default."""
    return voxdata.open(root, snapshot)


def train(run: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Train what run.json says, with one thread; the lines of its metrics.jsonl."""
    run_dir = Path(run["run_dir"])
    run_dir.mkdir(parents=True)
    (run_dir / "run.json").write_text(json.dumps(run))
    run_module("models.train", "--config", str(run_dir / "run.json"), folder=folder, **ONE_THREAD)
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def queries() -> dict[str, str]:
    """SQL of the shipped queries by name, those that compare two versions among them."""
    return {name: query.sql for name, query in {**named_queries(), **comparing_queries()}.items()}


def ask(root: Path, sql: str, snapshot: str, before: str) -> pa.Table:
    """The answer of a query that compares two versions."""
    return run_query_at(open_storage(root), sql, snapshot, before=before)


@contextmanager
def empty_catalog() -> Iterator[duckdb.DuckDBPyConnection]:
    """A catalog with the schema and no rows, another one beside it as `before`, and the tables of the crawl."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "before.duckdb"
        create(path).close()
        with create() as connection:
            connection.execute(f"ATTACH '{path}' AS before (READ_ONLY)")
            for name, (_, table) in FOLDERS.items():
                connection.register(name, table.schema.empty_table())
            yield connection


def recipes() -> list[str]:
    """Names of the shipped recipes."""
    return list(shipped_recipes())


def pretrained_files(recipe: str) -> list[str]:
    """Names of the pretrained files that a shipped recipe needs, and that a machine may not have."""
    of_files = [each for each in settings_of(load_recipe(recipe)) if not each.missing(load_recipe(recipe))]
    return [each.value for each in of_files if each.value and any(isinstance(s, PretrainedFile) for s in each.stated)]


def fingerprints(recipe: str, settings: Sequence[str] = ()) -> dict[str, str]:
    """Stage -> fingerprint under a recipe."""
    chosen = load_recipe(recipe, list(settings))
    done = [stage for stage in STAGES.values() if stage is not SPEECH_AUDIO or chosen.speech.pack.has_audio]
    return {stage.name: stage.fingerprint(chosen) for stage in done}


def assigned(people: Sequence[Mapping[str, Any]], rule: str) -> dict[str, str]:
    """Person -> split; `people` have an identity, a name and a metadata_row."""
    settings = load_recipe("hq-voxceleb-automatic", [f"splits.rule={rule}"]).splits
    rows = [
        {"person": each["identity"], "bucket": bucket_of(each["identity"]), "sex": "unknown", **each} for each in people
    ]
    table = assign(pa.Table.from_pylist(rows, IDENTITIES), settings)
    return dict(zip(table["person"].to_pylist(), table["split"].to_pylist(), strict=True))


def held_out(utterances: Sequence[str]) -> list[str]:
    """Which of these clips are kept for closed-set tests."""
    clips = []
    for key in utterances:
        person, _, name = key.rpartition("/")
        video, _, segment = name.rpartition("_")
        clips.append({"utterance_id": key, "person": person, "video": video or None, "segment": segment})
    rows = holdouts(clips, load_recipe("hq-voxceleb-automatic").splits).to_pylist()
    return [row["utterance_id"] for row in rows if row["holdout"]]


def commands() -> dict[str, dict[str, Any]]:
    """Command -> parameter -> what it takes, of the whole command line; words that any parser library knows."""
    found: dict[str, dict[str, Any]] = {}
    found["voxdata"] = {name: {} for name in (*app.version_flags, "--quiet", "--progress")}
    _walk(app, "voxdata", found)
    return found


def _walk(node: App, name: str, found: dict[str, dict[str, Any]]) -> None:
    parameters = found.setdefault(name, {})
    for argument in node.assemble_argument_collection(parse_docstring=False) if node.default_command else ():
        if not argument.children:  # options that several commands share are fields of one dataclass
            names = sorted(argument.parameter.name or argument.names, reverse=True)
            parameters[", ".join(names)] = _described(argument)
    for word, child in node.resolved_commands().items():
        if word not in (*node.help_flags, *node.version_flags):
            _walk(child, f"{name} {word}", found)


def _described(argument: Argument) -> dict[str, Any]:
    """What a parameter takes: whether it is required or repeatable, how many values, which of them, the default."""
    count, many = argument.token_count()
    default = argument.field_info.default
    named = argument.field_info.is_keyword
    if argument.parameter.consume_multiple is not None:
        many = False  # an option with a value or without
    facts = {
        "required": argument.required,
        "values": count if named else None,
        "repeatable": many,
        "choices": list(argument.get_choices(force=True) or ()) or None,
        "default": None if default in (argument.field_info.empty, ()) else default,
    }
    silent = {fact for fact, said in facts.items() if said is None or said is False}
    silent |= {"values"} if facts["values"] == 0 else set()
    return {fact: said for fact, said in facts.items() if fact not in silent}
