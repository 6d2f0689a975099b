"""Tables over lengths of speech and over groups of people: `avp`, the length curve, and the gaps between groups.

Shapes: N people, E embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.evaluate.contestants import Contestant, Evaluation
from models.evaluate.metrics import FloatArray, cosine, figure, hits, ranks, unit

AVP_SECONDS = (2.0, 4.0, 6.0, 8.0)
AVP_ENHANCED_SECONDS = (4.0, 8.0)
"""Those of its Table 4: an enhancer is slow."""
CURVE_SECONDS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 25.0)
DRAWS = 5
GALLERY, K = 100, 10
SMALLEST_GROUP = 5


def length_rows(
    evaluation: Evaluation, protocol: str, lengths: tuple[float, ...], *, recall: bool = True, draws: int = DRAWS
) -> list[dict[str, Any]]:
    """Cosine, and recall at 10 of 100, by seconds of speech; one row per contestant and length it depends on."""
    rows = []
    for contestant in evaluation.judged(protocol, stretch="in one piece"):
        for seconds in lengths if contestant.any_length else (None,):
            values = [
                _values(evaluation, contestant, draw, seconds) for draw in range(draws if contestant.draws else 1)
            ]
            keys = [key for key in values[0] if recall or not key.startswith("recall")]
            figures = {
                key: figure(np.mean([each[key] for each in values], axis=0), seed=evaluation.judge.seed) for key in keys
            }
            rows.append(
                {
                    "name": contestant.name,
                    "kind": contestant.kind,
                    "seconds": seconds,
                    "people": len(contestant.people),
                    "draws": len(values),
                    "figures": figures,
                }
            )
    return rows


def little_speech(evaluation: Evaluation, lengths: tuple[float, ...]) -> list[str]:
    """What to know of lengths that not everybody's speech or clips have: what is heard is shorter, or repeated."""
    hop_s = evaluation.judge.generator.hop_s
    groups, frames_U = evaluation.unseen.utterance_groups, evaluation.unseen.frames
    longest = np.maximum.reduceat(frames_U, groups.first) * hop_s
    total = np.add.reduceat(frames_U, groups.first) * hop_s
    parts = [
        f"{seconds:g} s: {int((total < seconds - hop_s).sum())} with less speech, "
        f"{int((longest < seconds - hop_s).sum())} with no clip of that length"
        for seconds in lengths
        if (longest < seconds - hop_s).any()
    ]
    if not parts:
        return []
    return [
        f"Of {evaluation.count} people, {'; '.join(parts)}. Who has less speech is heard for as long as there is any "
        "by the fused rows; a piece that is longer than its clip begins it again."
    ]


def group_rows(evaluation: Evaluation, *, draws: int = DRAWS) -> list[dict[str, Any]]:
    """Per sex and nationality: every contestant's cosine and recall, and the gap between best and worst group.

    Groups of fewer than five people are counted together as `others`.
    """
    judged = []
    for contestant in evaluation.judged("groups"):
        values = [_values(evaluation, contestant, draw, None) for draw in range(draws if contestant.draws else 1)]
        judged.append((contestant, {key: np.mean([each[key] for each in values], axis=0) for key in values[0]}))
    rows = []
    for attribute, labels in (("sex", evaluation.unseen.sexes), ("nationality", evaluation.unseen.nationalities)):
        label_N = grouped(np.asarray(labels))
        for contestant, mean in judged:
            groups = _groups(label_N[contestant.people], mean, evaluation.judge.seed)
            gap = {key: _gap(groups, key) for key in mean}
            row = {"attribute": attribute, "name": contestant.name, "kind": contestant.kind}
            rows.append({**row, "groups": groups, "gap": gap})
    return rows


def _groups(label_N: Any, values: dict[str, FloatArray], seed: int) -> list[dict[str, Any]]:
    return [
        {
            "group": str(group),
            "people": int((label_N == group).sum()),
            "figures": {key: figure(value[label_N == group], seed=seed) for key, value in values.items()},
        }
        for group in sorted(set(label_N.tolist()))
    ]


def _values(evaluation: Evaluation, contestant: Contestant, draw: int, seconds: float | None) -> dict[str, FloatArray]:
    real_NE = unit(evaluation.real_without(contestant, draw))
    query_NE = unit(contestant.answer(draw, seconds))
    people, gallery = len(real_NE), min(GALLERY, len(real_NE))
    values = {"cosine": cosine(query_NE, real_NE)}
    if gallery > K:
        above, ties = (np.diagonal(table) for table in ranks(query_NE @ real_NE.T))
        values[f"recall_at_{K}_of_{gallery}"] = hits(above, ties, K, people=people, gallery=gallery)
    return values


def grouped(label_N: Any) -> Any:
    """Labels (N,), those of too few people as `others`."""
    sizes = {label: int((label_N == label).sum()) for label in set(label_N.tolist())}
    return np.asarray([label if sizes[label] >= SMALLEST_GROUP else "others" for label in label_N.tolist()])


def is_group(label: str, people: int) -> bool:
    """Whether these are people of whom something is known, and enough of them."""
    return label not in ("unknown", "others") and people >= SMALLEST_GROUP


def _gap(groups: list[dict[str, Any]], key: str) -> float | None:
    """Best less worst group, of those that are groups of somebody known and large enough; None with fewer than two."""
    values = [group["figures"][key]["value"] for group in groups if is_group(group["group"], group["people"])]
    return max(values) - min(values) if len(values) > 1 else None
