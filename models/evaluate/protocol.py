"""One evaluation: faces for voices of unseen people, judged by a named face embedder, beside controls.

Written to the run: `evaluation[-<split>][-<embedder>].json` (named where not test, not the run's own) and as `.md`:
{"format": 1, "run", "system", "step", "snapshot", "split", "people", "portraits", "utterances",
 "embedder": {"name", "sha256", "kind": published | trained in the run}, "notes": [str],
 "rows": [{"name", "kind": system | control | ceiling, "people", "draws", "figures": {key: {"value", "low", "high"}}}]}
Keys of figures: cosine, l1, recall_at_<K>[_of_<gallery>], and centred_… of cosine and recall; see `rows.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.config import RunConfig, choose_device, make_config
from models.embedders import SELF_TRAINED, describe_embedder, load_published
from models.embedders.base import Embedder
from models.embedders.self_trained import load_embedder
from models.errors import EvaluationError
from models.evaluate.metrics import FloatArray, IntArray, group_means, unit
from models.evaluate.references import Pictures, reference_row
from models.evaluate.report import markdown
from models.evaluate.rows import Centre, Protocol, same_sex_scores, scores_row, shuffled_row, system_row
from models.evaluate.voice_regression import fit_voice_regression, measure_voices
from models.files import write_atomic, write_json
from models.generator import Generator
from models.reader import Snapshot
from models.sampler import Groups, generator
from models.store import Store

DRAWS = 10
CENTRE_PEOPLE = 256
_CHUNK = 64


@dataclass(frozen=True, kw_only=True)
class _Judge:
    """What turns voices and portraits into embeddings."""

    generator: Generator
    embedder: Embedder
    seed: int

    def portraits(self, store: Store) -> FloatArray:
        """Unit embeddings of all portraits of a store."""
        faces = np.arange(int(store.face_groups.count.sum()))
        return np.concatenate([self.embed(store.images(chunk)) for chunk in _chunks(faces)])

    def real(self, store: Store) -> FloatArray:
        """Everybody's real embedding (N, E): the mean over the portraits."""
        count = len(store.people)
        return group_means(self.portraits(store), np.repeat(np.arange(count), store.face_groups.count), count)

    def crops(self, store: Store, people: IntArray, draw: int) -> FloatArray:
        """Embeddings of faces from one random crop of 1.25 s per person, without the fuser."""
        rng = generator(self.seed, draw, 0)
        groups = store.utterance_groups
        utterances = groups.first[people] + rng.integers(groups.count[people])
        slack = np.maximum(store.frames[utterances] - self.generator.window, 0)
        starts = rng.integers(slack + 1)
        parts = []
        for chunk in _chunks(np.arange(len(people))):
            mel_BFT = store.crops(utterances[chunk], starts[chunk], self.generator.window)
            parts.append(self.embed(self.generator.decode(self.generator.embed(mel_BFT))))
        return np.concatenate(parts)

    def fused(self, store: Store, people: IntArray) -> FloatArray:
        """Embeddings of faces fused from up to 25 s of each person's utterances, in order."""
        generator, groups = self.generator, store.utterance_groups
        length = round(generator.preset.speech_s[1] / generator.hop_s)
        parts = []
        for chunk in _chunks(people):
            orders = [groups.first[person] + np.arange(groups.count[person]) for person in chunk]
            mel_BKFT, mask_BK = store.windows(orders, length, window=generator.window, hop=generator.hop)
            parts.append(self.embed(generator.decode(generator.fuse(mel_BKFT, mask_BK))))
        return np.concatenate(parts)

    def mean_face(self, store: Store) -> FloatArray:
        """Embedding (E,) of the mean of all training people's first portraits."""
        images = [store.images(chunk).sum(dim=0) for chunk in _chunks(store.face_groups.first)]
        mean_3SS = torch.stack(images).sum(dim=0) / len(store.people)
        mean_face: FloatArray = self.embed(mean_3SS[None])[0]
        return mean_face

    @torch.no_grad()
    def embed(self, image_B3SS: torch.Tensor) -> FloatArray:
        """Unit embeddings (B, E) of images in [-1, 1]."""
        return unit(np.asarray(self.embedder.embed(image_B3SS.to(self.generator.device)).cpu().numpy(), np.float64))


def evaluate(
    run_dir: str | Path,
    *,
    split: str = "test",
    embedder: str | None = None,
    weights: Mapping[str, str] | None = None,
    root: str | None = None,
    device: str = "auto",
    seed: int = 0,
    references: Mapping[str, Pictures] | None = None,
) -> dict[str, Any]:
    """Evaluate a run on a split, write the result into the run and return it. Raises `TrainingError`.

    `references` adds a row per name, from pictures of everybody in the split (and of training people, to centre it).
    """
    run_dir, chosen = Path(run_dir), choose_device(device)
    trained = Generator(run_dir, chosen)
    config = make_config(trained.run["run"] | ({"root": root} if root else {}))
    name = embedder or config.embedder
    judge = _Judge(
        generator=trained,
        embedder=_embedder(name, run_dir, {**config.weights, **(weights or {})}).to(chosen),
        seed=seed,
    )
    snapshot = Snapshot(config.root, config.snapshot)
    unseen = _open_store(config, trained, snapshot, split)
    result = {
        "format": 1,
        "run": run_dir.name,
        "system": trained.run["system"],
        "step": trained.step,
        "snapshot": snapshot.id,
        "split": split,
        "people": len(unseen.people),
        "portraits": int(unseen.face_groups.count.sum()),
        "utterances": len(unseen.frames),
        "embedder": describe_embedder(name),
        "notes": _notes(name, config.embedder, unseen),
        "rows": _rows(judge, _open_store(config, trained, snapshot, "train"), unseen, references or {}),
    }
    stem = "-".join(["evaluation", *([split] if split != "test" else []), *([name] if name != config.embedder else [])])
    write_json(run_dir / f"{stem}.json", result)
    write_atomic(run_dir / f"{stem}.md", lambda file: file.write(markdown(result).encode()))
    return result


def _open_store(config: RunConfig, trained: Generator, snapshot: Snapshot, split: str) -> Store:
    return Store(
        snapshot,
        split=split,
        front_end=config.front_end,
        side_px=trained.preset.side_px,
        cache=config.cache(),
        device=trained.device,
        normalisation=trained.normalisation,
        keep_holdout=split != "train",
    )


def _rows(judge: _Judge, training: Store, unseen: Store, references: Mapping[str, Pictures]) -> list[dict[str, Any]]:
    protocol, count = Protocol(seed=judge.seed), len(unseen.people)
    people = np.arange(count)
    faces_ME = judge.portraits(unseen)
    real_NE = group_means(faces_ME, np.repeat(people, unseen.face_groups.count), count)
    training_people = np.unique(np.linspace(0, len(training.people) - 1, CENTRE_PEOPLE).round().astype(np.int64))
    training_NE = judge.real(training)
    training_real = training_NE.mean(axis=0)
    crop_centre = Centre(generated=judge.crops(training, training_people, 0).mean(axis=0), real=training_real)
    fused_centre = Centre(generated=judge.fused(training, training_people).mean(axis=0), real=training_real)
    fused_NE = judge.fused(unseen, people)
    system = judge.generator.run["system"]
    window_s = judge.generator.preset.window_s
    crops = [(judge.crops(unseen, people, draw), real_NE) for draw in range(DRAWS)]
    mean_face_NE = np.tile(judge.mean_face(training), (count, 1))
    rows = [
        system_row(f"{system}, fused", "system", [(fused_NE, real_NE)], fused_centre, protocol),
        system_row(f"{system}, {window_s:g} s, no fuser", "system", crops, crop_centre, protocol),
        scores_row("chance", np.zeros((count, count)), protocol),
        system_row("mean face", "control", [(mean_face_NE, real_NE)], None, protocol),
    ]
    if count > 1:
        rows.append(shuffled_row("shuffled voices", fused_NE, real_NE, fused_centre, protocol))
    known, same_sex = same_sex_scores(unseen.sexes)
    if len(known):
        rows.append(scores_row("sex only", same_sex, protocol))
    rows.append(_regression(training, training_NE, unseen, real_NE, protocol))
    brought = partial(
        reference_row,
        embed=judge.embed,
        side_px=judge.generator.preset.side_px,
        training=training.people,
        unseen=unseen.people,
        real_NE=real_NE,
        training_real_E=training_real,
        protocol=protocol,
    )
    rows += [brought(name, pictures) for name, pictures in references.items()]
    return rows + _ceiling(faces_ME, unseen.face_groups, training_real, protocol)


def _regression(
    training: Store, training_NE: FloatArray, unseen: Store, real_NE: FloatArray, protocol: Protocol
) -> dict[str, Any]:
    voices_ND = measure_voices(training)
    regression = fit_voice_regression(voices_ND, training_NE)
    centre = Centre(generated=unit(regression(voices_ND)).mean(axis=0), real=training_NE.mean(axis=0))
    query_NE = regression(measure_voices(unseen))
    return system_row("linear voice regression", "control", [(query_NE, real_NE)], centre, protocol)


def _ceiling(faces_ME: FloatArray, groups: Groups, mean_E: FloatArray, protocol: Protocol) -> list[dict[str, Any]]:
    """One real portrait as the query against the mean of the person's others, for people who have two or more."""
    several = np.flatnonzero(groups.count > 1)
    if not len(several):
        return []
    draws = []
    for draw in range(min(DRAWS, int(groups.count[several].max()))):
        query = groups.first[several] + draw % groups.count[several]
        others = [
            [face for face in range(groups.first[p], groups.first[p] + groups.count[p]) if face != q]
            for p, q in zip(several, query, strict=True)
        ]
        draws.append((faces_ME[query], unit(np.stack([faces_ME[rows].mean(axis=0) for rows in others]))))
    centre = Centre(generated=mean_E, real=mean_E)
    return [system_row("real photo", "ceiling", draws, centre, protocol)]


def _embedder(name: str, run_dir: Path, weights: Mapping[str, str]) -> Embedder:
    if name != SELF_TRAINED:
        return load_published(name, weights)
    if not (run_dir / "embedder.pt").exists():
        raise EvaluationError(
            f"run {run_dir} has no self-trained embedder (it was trained with another one); "
            'evaluate with that one, or train with "embedder": "self-trained"'
        )
    return load_embedder(run_dir / "embedder.pt")


def _notes(name: str, trained_with: str, unseen: Store) -> list[str]:
    people = len(unseen.people)
    notes = [f"n = {people}: one person is {100 / people:.1f} % of R@K"]
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


def _chunks(indices: IntArray) -> list[IntArray]:
    return [indices[start : start + _CHUNK] for start in range(0, len(indices), _CHUNK)]
