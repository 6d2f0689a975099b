"""What `voxdata forget` says before it asks: who that is, where they are, and what would go."""

from __future__ import annotations

from collections.abc import Iterator

from voxdata.forgetting.forget import Plan
from voxdata.forgetting.places import GONE


def plan_lines(plan: Plan) -> Iterator[str]:
    """The lines of a plan. They name the person, so they belong on a terminal, and into no log."""
    person, places = plan.forgetting, plan.places
    also = [word for word in person.words if word != person.person]
    yield f"person {person.person}" + (f", also {', '.join(also)}" if also else "")
    shared = places.photos - len(person.photos)
    stay = f" ({shared} of them stay for somebody else)" if shared else ""
    yield (
        f"in {places.photos} photos{stay}, {places.faces} faces, {places.clips} clips, {places.logged} lines of logs, "
        f"{places.shards} shards: these would be written again without them"
    )
    for namesake in person.namesakes:
        yield f"{namesake} bears the same name: stays, and later builds leave them out, too"
    for snapshot, where in person.shown.items():
        redacted = ", would be redacted" if snapshot in person.redacted else ""
        yield f"snapshot {snapshot} {_shows(where)}{redacted}"
    for run in plan.runs:
        pictures = "its evaluations" if run.only_judged else "its pictures and evaluations"
        yield f"{run}; {pictures} would be deleted"
    for output in plan.outputs:
        yield f"would be deleted: {output.kind} {output.path}, of snapshot {output.snapshot_id}"
    if not plan.outputs:
        yield "no report, table, export or picture of theirs is noted"


def _shows(where: list[str]) -> str:
    known = [each for each in where if each != GONE]
    shows = f"shows them in {', '.join(known)}" if known else ""
    gone = "is no longer whole, so it may have shown them" if GONE in where else ""
    return "; ".join(part for part in (shows, gone) if part)
