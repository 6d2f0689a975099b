"""Whether a challenger takes the champion's place: one metric fixed beforehand, and guards that may not get worse.

A challenger is promoted when the lower end of the 95 % interval of the metric's paired difference is above 0, over
enough people of whom both have a figure, and no guard fails. A first model has nobody to be compared with: only the
guards that need no champion hold it back.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

from models.errors import ConfigError
from models.evaluate.compare import Comparison, Measured, paired

MIN_PEOPLE = 6
"""Of fewer people all are better by chance in more than 2.5 % of comparisons, and the interval is then above 0."""
PROMOTED, REFUSED, FIRST = "promoted", "refused", "first"
PASSED, FAILED, NOT_MEASURED = "passed", "failed", "not measured"
_METRIC = re.compile(r"(centred_)?(cosine|l1|median_rank|map|(same_sex_)?recall_at_[0-9]+(_of_[0-9]+)?)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """What decides, fixed before the training starts.

    `metric` is a figure of the evaluation (`models/evaluate/rows.py`) on the first `seconds` of everybody's speech,
    resampled `draws` times from `seed`. Limits: VFS may fall by a share `vfs_drop` of the champion's, the worst group's
    mean cosine by `worst_group_drop`, the time per voice may grow to `latency_ratio` times the champion's, and
    `nan_rate` is the largest share of faces that are not finite.
    """

    metric: str = "centred_cosine"
    seconds: float = 5.0
    draws: int = 5000
    seed: int = 0
    vfs_drop: float = 0.03
    worst_group_drop: float = 0.01
    latency_ratio: float = 1.25
    nan_rate: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guard:
    """One guard: what both models have, the limit that the challenger was held to, and `passed`, `failed` or `not
    measured`."""

    name: str
    champion: float | None
    challenger: float | None
    limit: float | None
    outcome: str
    note: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """`outcome` is promoted, refused or first (there was no champion); `reasons` says why, a sentence each.

    `value`, `low` and `high` are of the metric's paired difference over `people`, positive where the challenger is
    better; None without a champion, or where nobody has a finite value.
    """

    outcome: str
    reasons: tuple[str, ...]
    guards: tuple[Guard, ...]
    people: int
    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def promoted(self) -> bool:
        """Whether the challenger is the champion from now on."""
        return self.outcome != REFUSED


def make_gate(settings: Mapping[str, Any]) -> Gate:
    """A gate with some of its settings changed. Raises `ConfigError` naming the key, the value and the limit."""
    fields = {field.name: field for field in dataclasses.fields(Gate)}
    for key, value in settings.items():
        if key not in fields:
            raise ConfigError(f"gate {key}: no such setting; there are {', '.join(fields)}")
        kind = type(fields[key].default)
        kinds = (int, float) if kind is float else (kind,)
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise ConfigError(f"gate {key} = {value!r}: must be of type {kind.__name__}")
    gate = Gate(**settings)
    if not _METRIC.fullmatch(gate.metric):
        raise ConfigError(
            f"gate metric = {gate.metric!r}: cosine, l1, map, median_rank, recall_at_5, …, or centred_ one"
        )
    for key, low, high in (
        ("seconds", 0.1, 600.0),
        ("draws", 100, 100_000),
        ("seed", 0, 2**31),
        ("vfs_drop", 0.0, 1.0),
        ("worst_group_drop", 0.0, 2.0),
        ("latency_ratio", 1.0, 1000.0),
        ("nan_rate", 0.0, 1.0),
    ):
        if not low <= getattr(gate, key) <= high:
            raise ConfigError(f"gate {key} = {getattr(gate, key)}: must be from {low} to {high}")
    return gate


def decide(comparison: Comparison, gate: Gate) -> Decision:
    """Decide about the last run of a comparison: against the first, or alone. Raises `EvaluationError`."""
    challenger = comparison.runs[-1]
    champion = comparison.runs[0] if len(comparison.runs) > 1 else None
    guards = tuple(_guards(champion, challenger, gate))
    failures = tuple(f"{guard.name}: {guard.note}" for guard in guards if guard.outcome == FAILED)
    if champion is None:
        if failures:
            return Decision(outcome=REFUSED, reasons=failures, guards=guards, people=comparison.people)
        return Decision(
            outcome=FIRST, reasons=("there was no champion to compare with",), guards=guards, people=comparison.people
        )
    value, low, high, people = paired(comparison, gate.metric, draws=gate.draws, seed=gate.seed)
    said = f"{gate.metric} is {value:+.4g} better [{low:+.4g}, {high:+.4g}] over {people} people"
    better = low > 0 and people >= MIN_PEOPLE
    if low > 0 and not better:
        said += f": {MIN_PEOPLE} are needed, of fewer all are better by chance too often"
    elif not better:
        said += ": the lower end is not above 0"
    reasons = (said, *failures)
    finite = people > 0
    return Decision(
        outcome=PROMOTED if better and not failures else REFUSED,
        reasons=reasons,
        guards=guards,
        people=people,
        value=value if finite else None,
        low=low if finite else None,
        high=high if finite else None,
    )


def _guards(champion: Measured | None, challenger: Measured, gate: Gate) -> list[Guard]:
    share = challenger.nan_rate
    note = f"{share:.2%} of the faces are not finite, the limit is {gate.nan_rate:.2%}"
    nan_rate = Guard(
        name="NaN rate",
        champion=None if champion is None else champion.nan_rate,
        challenger=share,
        limit=gate.nan_rate,
        outcome=_outcome(share <= gate.nan_rate),
        note=note,
    )
    if champion is None:
        return [nan_rate]
    return [
        _vfs(champion, challenger, gate),
        _worst_group(champion, challenger, gate),
        _latency(champion, challenger, gate),
        nan_rate,
    ]


def _vfs(champion: Measured, challenger: Measured, gate: Gate) -> Guard:
    old, new = champion.vfs, challenger.vfs
    if old is None or new is None:
        return Guard(
            name="VFS",
            champion=old,
            challenger=new,
            limit=None,
            outcome=NOT_MEASURED,
            note="its network's file (vggface2_resnet50) is not here, or there are too few people",
        )
    limit = old * (1 - gate.vfs_drop)
    note = f"{new:.4g}, the champion has {old:.4g} and {limit:.4g} is the limit (-{gate.vfs_drop:.1%})"
    return Guard(name="VFS", champion=old, challenger=new, limit=limit, outcome=_outcome(new >= limit), note=note)


def _worst_group(champion: Measured, challenger: Measured, gate: Gate) -> Guard:
    old, new = (_least(measured.groups) for measured in (champion, challenger))
    if old is None or new is None or not math.isfinite(old[0]):
        why = (
            "the champion's faces are not finite" if old and new else "no sex or nationality is known of enough people"
        )
        return Guard(name="worst group", champion=None, challenger=None, limit=None, outcome=NOT_MEASURED, note=why)
    limit = old[0] - gate.worst_group_drop
    note = (
        f"cosine {new[0]:.4g} ({new[1]}), the champion's worst is {old[0]:.4g} ({old[1]}) and {limit:.4g} is the limit"
    )
    return Guard(
        name="worst group",
        champion=old[0],
        challenger=new[0] if math.isfinite(new[0]) else None,
        limit=limit,
        outcome=_outcome(new[0] >= limit),
        note=note,
    )


def _least(groups: Mapping[str, float]) -> tuple[float, str] | None:
    """The lowest value and its group; one that is not a number is lower than all. None where there is no group."""
    found = [(value, name) for name, value in groups.items()]
    return min(found, key=lambda each: (math.isfinite(each[0]), each[0], each[1]), default=None)


def _latency(champion: Measured, challenger: Measured, gate: Gate) -> Guard:
    limit = champion.latency_ms * gate.latency_ratio
    note = (
        f"{challenger.latency_ms:.3g} ms per voice, the champion takes {champion.latency_ms:.3g} and {limit:.3g} is "
        f"the limit ({gate.latency_ratio:g} times)"
    )
    return Guard(
        name="latency",
        champion=champion.latency_ms,
        challenger=challenger.latency_ms,
        limit=limit,
        outcome=_outcome(challenger.latency_ms <= limit),
        note=note,
    )


def _outcome(passed: bool) -> str:
    return PASSED if passed else FAILED
