"""Two manifests side by side: which parts can be compared here, and each difference in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ANYWHERE = ("commands", "columns", "queries", "splits")
SAME_LIBRARIES = ("fingerprints",)
SAME_MACHINE = ("builds", "comparisons", "trainings")
WIDEST = 90
MISSING = object()


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The parts that were compared, what could not be and why, and the differences."""

    parts: Sequence[str]
    notes: Sequence[str]
    differences: Sequence[str]


def compare(known: Mapping[str, Any], found: Mapping[str, Any]) -> Compared:
    """Compare what is comparable: pixels, samples and losses only with the same libraries on the same machine type."""
    libraries = list(_differences("libraries", known["machine"]["libraries"], found["machine"]["libraries"]))
    machine = [*libraries, *_differences("cpu", known["machine"]["cpu"], found["machine"]["cpu"])]
    reasons: dict[str, list[str]] = {name: [] for name in ANYWHERE}
    reasons |= dict.fromkeys(SAME_LIBRARIES, libraries) | dict.fromkeys(SAME_MACHINE, machine)
    parts: list[str] = []
    notes: list[str] = []
    differences: list[str] = []
    for name, reason in reasons.items():
        if name not in known or name not in found:
            holders = [which for which, each in (("known", known), ("new", found)) if name in each]
            notes.append(f"not compared: {name}, which {' '.join(holders) or 'neither'} manifest has")
        elif reason:
            notes.append(f"not comparable here: {name}; {'; '.join(reason)}")
        else:
            parts.append(name)
            differences += _differences(name, known[name], found[name])
    return Compared(parts=parts, notes=notes, differences=differences)


def _differences(place: str, known: Any, found: Any) -> Iterator[str]:
    """A line for each fact that differs."""
    if isinstance(known, Mapping) and isinstance(found, Mapping):
        for name in sorted({*known, *found}):
            yield from _differences(f"{place} > {name}", known.get(name, MISSING), found.get(name, MISSING))
    elif known is MISSING:
        yield f"{place}: is new, {_short(found)}"
    elif found is MISSING:
        yield f"{place}: is gone, was {_short(known)}"
    elif isinstance(known, list) and isinstance(found, list):
        gone, new = ([each for each in one if each not in other] for one, other in ((known, found), (found, known)))
        yield from (f"{place}: without {_short(each)}" for each in gone)
        yield from (f"{place}: with {_short(each)}" for each in new)
        if not gone and not new and known != found:
            yield f"{place}: in another order, was {_short(known)}, is {_short(found)}"
    elif known != found:
        yield f"{place}: was {_short(known)}, is {_short(found)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
