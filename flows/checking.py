"""What `voxdata check` prints: a line or a few for each source, for the people and for what would stop a build."""

from __future__ import annotations

from collections.abc import Iterator

from voxdata.pipeline.findings import Findings, People, Source

STEPS = {
    "id": "by id",
    "name": "by name",
    "root": "by an id of the root",
    "spelling": "in another spelling",
    "new": "not named by any table",
}


def report(findings: Findings) -> Iterator[str]:
    """The lines."""
    for table in findings.metadata:
        yield f"{table.path}: {_counted(table.people, 'person')}, {table.named:,} with a name"
    if not findings.metadata and not any("metadata" in str(stop) for stop in findings.stops):
        yield "no metadata table: people are called by their folders"
    for source in findings.sources:
        yield from _source(source, bool(findings.metadata))
    if findings.people is not None:
        yield from _people(findings.people)
    for file in findings.files:
        needed = f"is missing; run: {file.command}" if file.command else "cannot be used"
        yield f"{file.setting} = {file.name}: {'is here' if file.there else needed}"
    for note in findings.notes:
        yield f"note: {note}"
    for stop in findings.stops:
        yield from (f"would stop a build: {line}" for line in str(stop).splitlines())
    if not findings.stops:
        yield "a build can go on"


def _source(source: Source, tables: bool) -> Iterator[str]:
    named = " ".join((source.setting, *(["=", source.address] if source.address else []), f"({source.kind})"))
    if source.files is None:
        yield f"{named}: not listed"
        return
    what = "video" if source.several else "photo" if source.medium == "photos" else "clip"
    spread = ""
    if source.per_person is not None:
        least, middle, most = source.per_person
        spread = f", {least:,} to {most:,} each, median {middle:g}"
    yield f"{named}: {_counted(source.files, what)} of {_counted(source.people, 'person')}{spread}"
    if tables and source.matched:
        yield "  folders found " + ", ".join(f"{STEPS[step]}: {count:,}" for step, count in source.matched.items())
    if source.unmatched.count:
        yield f"  no table names {source.unmatched.count:,}: {source.unmatched}"
    if source.passed:
        yield "  not read: " + ", ".join(f"{name} ({count:,})" for name, count in source.passed.items())
    yield from (f"  {line.removeprefix(source.setting).partition(': ')[2]}" for line in source.advice)


def _people(people: People) -> Iterator[str]:
    yield f"{_counted(people.usable, 'person')} can be used"
    for what, some in (("photos and no speech", people.photos_only), ("speech and no photos", people.speech_only)):
        if some.count:
            yield f"  {some.count:,} {'has' if some.count == 1 else 'have'} {what}: {some}"
    if people.opted_out:
        yield f"  {people.opted_out:,} opted out"


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {'people' if what == 'person' else f'{what}s'}"
