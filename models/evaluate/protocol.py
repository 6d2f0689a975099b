"""One evaluation: faces for voices of unseen people, judged by a named face embedder, beside controls.

Written to the run: `evaluation[-<split>][-<embedder>].json` (named where not test, not the run's own), as `.md`, and a
contact sheet as `.png`:
{"format": 1, "run", "system", "step", "snapshot", "split", "people", "portraits", "utterances",
 "embedder": {"name", "sha256", "kind": published | trained in the run}, "notes": [str],
 "rows": [{"name", "kind": system | control | ceiling, "people", "draws", "figures": {key: {"value", "low", "high"}},
           "other_better": {key: {"value", "low", "high", "people"}}}],
 "tables": [{"table", "protocol", "title", "rows": as above}]}
`other_better` is how much better the first row is, the mean of the differences person by person, where both have the
same people. `low` and `high` end a 95 % bootstrap interval over people; KID and VFS have a `deviation` over subsets or
splits.
Keys of figures: cosine, l1, recall_at_<K>[_of_<gallery>], median_rank, map, and centred_… of those; see `rows.py`. The
tables are those of `protocols.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from models.data.snapshots import open_snapshot
from models.data.store import Store
from models.embedders import SELF_TRAINED, describe_embedder, knows_test_people, load_published
from models.embedders.base import Embedder
from models.embedders.self_trained import load_embedder
from models.errors import EvaluationError
from models.evaluate.contestants import Evaluation
from models.evaluate.full import FULL_PARTS, full_rows
from models.evaluate.judge import Judge
from models.evaluate.leakage import heard_before
from models.evaluate.listed import FAME, PINS, Listed, Lists, read_lists
from models.evaluate.protocols import BY_DEFAULT, DISTRIBUTIONS, ENHANCE, FULL, Question, tables
from models.evaluate.protocols import chosen as chosen_protocols
from models.evaluate.realism import check_files
from models.evaluate.references import Pictures
from models.evaluate.report import markdown, stem
from models.evaluate.rows import Protocol
from models.evaluate.speakers import Speakers, speakers
from models.generator import Generator
from models.images import grid, to_uint8, write_png
from models.systems.enhance.faces import load_enhancer
from models.training.config import RunConfig, choose_device, make_config
from models.training.inputs import check_judged
from voxdata.format.atomic import write_atomic, write_json
from voxdata.format.counting import Counting, silent
from voxdata.format.reader import Reader

SHEET_PEOPLE = 12
SHEET_NOTICE = (
    "people of the evaluation: first row real portraits, then faces generated from their voices (fused; one window; "
    "another person's voice) and the mean face; generated faces show no real person and identify nobody"
)


def evaluate(
    run_dir: str | Path,
    *,
    split: str = "test",
    embedder: str | None = None,
    weights: Mapping[str, str] | None = None,
    root: str | None = None,
    snapshot_id: str | None = None,
    device: str = "auto",
    seed: int = 0,
    references: Mapping[str, Pictures] | None = None,
    protocols: Sequence[str] = BY_DEFAULT,
    enhance: str | None = None,
    lists: str | Path | Lists | None = None,
    lists_from: tuple[str, str] | None = None,
    said: Sequence[str] = (),
    counting: Counting = silent,
) -> dict[str, Any]:
    """Evaluate a run on a split, write the result into the run and return it. Raises `TrainingError`.

    `references` adds a row per name, from pictures of everybody in the split (and of training people, to centre it).
    `protocols` are names of `protocols.py`; `full` is always there. `snapshot_id` is another snapshot than the run's.
    `enhance` is `gfpgan` or the folder of an enhance run: its effect on who the faces look like is then measured too.
    `said` are further notes of the result, as of who counts how often test people were looked at.
    `lists` is the folder of lists that `fame` and `pins` go by (`listed.py`), or what was read of one; `lists_from`
    root and snapshot that have what they name, where that is not the run's.
    `counting` is told of every protocol by itself: of the parts of `full`, of the rows of the others.
    """
    asked = chosen_protocols([*protocols, ENHANCE] if enhance else protocols)
    if ENHANCE in protocols and not enhance:
        raise EvaluationError("protocol enhance: no enhancer is given; add --enhance gfpgan, or --enhance ENHANCE_RUN")
    known = lists if isinstance(lists, Lists) else read_lists(lists, protocols)
    run_dir, chosen = Path(run_dir), choose_device(device)
    trained = Generator(run_dir, chosen)
    config = make_config(trained.run["run"] | ({"root": root} if root else {}))
    name, files = embedder or config.embedder, {**config.weights, **(weights or {})}
    missing = check_files(files) if DISTRIBUTIONS in asked else []
    enhancer = load_enhancer(enhance, files, chosen) if enhance else None
    judge = Judge(
        generator=trained,
        embedder=open_embedder(name, run_dir, files).to(chosen),
        seed=seed,
    )
    snapshot = open_snapshot(config.root, snapshot_id or config.snapshot)
    check_judged(config, snapshot.snapshot)
    unseen = open_store(config, trained, snapshot, split)
    training = open_store(config, trained, snapshot, "train")
    heard = speakers(snapshot, training, unseen, split)
    evaluation = Evaluation(judge, training, unseen, references or {}, counting, heard)
    named = open_snapshot(*lists_from) if lists_from else snapshot
    decoded = Path(lists_from[0]) / "cache" if lists_from else None  # forgetting looks for portraits under their root
    listed = Listed(
        lists=known,
        evaluation=evaluation,
        snapshot=named,
        front_end=config.front_end,
        stores=lambda part: open_store(config, trained, named, part, holdouts="keep", cache=decoded),
        trained=snapshot,
        folder=run_dir / (FAME if name == config.embedder else f"{FAME}-{name}"),
        own_judge=name == config.embedder,
        counting=counting,
    )
    question = Question(
        evaluation=evaluation,
        holdouts=_holdouts(config, trained, snapshot),
        weights=files,
        enhancer=enhancer,
        own_people=snapshot.id == trained.run["snapshot"],
        listed=listed,
    )
    by_lists, others = ([name for name in asked if (name in (FAME, PINS)) is listed] for listed in (True, False))
    listed_tables = tables(by_lists, question)  # first: lists that do not fit are refused before the rest is judged
    with counting(f"evaluate {FULL}", FULL_PARTS) as advance:
        rows = full_rows(evaluation, advance)
    result = _about(run_dir, trained, snapshot, split, unseen) | {
        "embedder": describe_embedder(name, files),
        "notes": [*said, *_notes(name, config.embedder, unseen), *_heard(trained, heard), *missing],
        "rows": rows,
        "tables": [*tables(others, question), *listed_tables],
    }
    file = stem(split, None if name == config.embedder else name)
    write_json(run_dir / f"{file}.json", result)
    _write_sheet(evaluation, run_dir / f"{file}.png")
    write_atomic(run_dir / f"{file}.md", lambda sink: sink.write(markdown(result).encode()))
    return result


def _about(run_dir: Path, trained: Generator, snapshot: Reader, split: str, unseen: Store) -> dict[str, Any]:
    """What was evaluated, and on how much."""
    return {
        "format": 1,
        "run": run_dir.name,
        "system": trained.run["system"],
        "step": trained.step,
        "snapshot": snapshot.id,
        "split": split,
        "people": len(unseen.people),
        "portraits": int(unseen.face_groups.count.sum()),
        "utterances": len(unseen.frames),
    }


def _holdouts(config: RunConfig, trained: Generator, snapshot: Reader) -> Store | None:
    """Clips of training people that training never saw; None where the recipe kept none."""
    if not any(member.holdout for member in snapshot.mels("train", config.front_end)):
        return None
    return open_store(config, trained, snapshot, "train", holdouts="only")


def open_store(
    config: RunConfig,
    trained: Generator,
    snapshot: Reader,
    split: str,
    holdouts: Literal["drop", "keep", "only"] | None = None,
    cache: Path | None = None,
) -> Store:
    """A split of a snapshot as the run hears and sees it; clips of training people kept from training are left out.

    Portraits are decoded into the folder `cache`, without one into the run's.
    """
    return Store(
        snapshot,
        split=split,
        front_end=config.front_end,
        side_px=trained.preset.side_px,
        cache=cache or config.cache(),
        device=trained.device,
        normalisation=trained.normalisation,
        sex=config.sex,
        holdouts=holdouts or ("drop" if split == "train" else "keep"),
    )


def open_embedder(name: str, run_dir: Path, weights: Mapping[str, str]) -> Embedder:
    """A published embedder, or the one that the run has trained. Raises `EvaluationError`."""
    if name != SELF_TRAINED:
        return load_published(name, weights)
    if not (run_dir / "embedder.pt").exists():
        raise EvaluationError(
            f"run {run_dir} has no self-trained embedder (it was trained with another one); "
            'evaluate with that one, or train with "embedder": "self-trained"'
        )
    return load_embedder(run_dir / "embedder.pt")


def _heard(trained: Generator, controls: Sequence[Speakers]) -> list[str]:
    said = heard_before(trained.front_end)
    return [*([] if said is None else [said]), *(f"{each.row}: {each.heard}" for each in controls)]


def _notes(name: str, trained_with: str, unseen: Store) -> list[str]:
    people = len(unseen.people)
    notes = [f"n = {people}: one person is {100 / people:.1f} % of R@K"]
    if known := knows_test_people(name):
        notes.append(f"{name} {known}")
    if name == SELF_TRAINED:
        notes.append("self-trained embedder: figures hold within this snapshot only, never beside published rows")
    if name == trained_with:
        notes.append(f"the system was also trained with {name}: its cosine is an optimistic figure")
    too_large = [gallery for gallery in Protocol().galleries if gallery > people]
    if too_large:
        notes.append(f"no galleries of {' or '.join(map(str, too_large))}: there are only {people} people")
    if people < 20:
        notes.append("fewer than 20 people: the figures say that the pipeline runs, not how good the system is")
    if all(sex == "unknown" for sex in unseen.sexes):
        notes.append("nobody's sex is known: no sex-only row")
    if int(unseen.face_groups.count.max()) < 2:
        notes.append("nobody has two portraits: no real-photo ceiling")
    return notes


def _write_sheet(evaluation: Evaluation, path: Path) -> None:
    """Real portraits above the faces made from their voices: a column per person, at most twelve, over the split."""
    chosen = np.unique(
        np.linspace(0, evaluation.count - 1, min(SHEET_PEOPLE, evaluation.count)).round().astype(np.int64)
    )
    judge, unseen = evaluation.judge, evaluation.unseen
    fused = to_uint8(judge.fused(unseen, chosen))
    rows = [
        to_uint8(unseen.images(unseen.face_groups.first[chosen])),
        fused,
        to_uint8(judge.crops(unseen, chosen, 0)),
        np.roll(fused, 1, axis=0),
        np.repeat(to_uint8(evaluation.mean_face[None]), len(chosen), axis=0),
    ]
    write_png(path, grid(rows), SHEET_NOTICE)
