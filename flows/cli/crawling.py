"""`voxdata crawl`: collecting photos, what sources can be expected to give, and whom ambiguous names mean."""

from __future__ import annotations

import shlex
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from flows.cli.answers import say_json, say_table
from flows.cli.building import Prefect, Recipe
from flows.cli.options import Json, NewRoot, Root, Settings, command
from voxdata.format.errors import IdentityError, RecipeError, counted

if TYPE_CHECKING:
    from voxdata.pipeline.estimate import Estimate, SourceEstimate, Yielded

app = App()
crawl = App(
    name="crawl",
    help="Photos and their sources: collect them, what can be expected, and whom ambiguous names mean.",
    help_epilogue="Example: voxdata crawl estimate hq-voxceleb --people 50 --root data",
)
app.command(crawl)


@command(
    crawl,
    "voxdata crawl run my.yaml --root data --set sources.photos.kind=wikimedia "
    "--set sources.metadata.path=vox1_meta.csv --set crawl.contact=mailto:you@your-lab.org",
)
def run(
    recipe: Recipe,
    /,
    *,
    root: NewRoot,
    settings: Settings = (),
    below: Annotated[
        int | None,
        Parameter(
            metavar="N", help="look only for people with fewer portraits in the current version, and for these anew"
        ),
    ] = None,
    prefect: Prefect = False,
    json: Json = False,
) -> int:
    """Collect photos, and nothing else; the next voxdata build measures them.

    It can be stopped at any time, and goes on where it was. What is settled is not asked for again.
    """
    from flows import starting
    from voxdata.pipeline.crawling import total

    if below is not None and below < 1:
        raise RecipeError(f"--below {below}: give a number of portraits from 1 on, as --below 7")
    found = starting.crawl(root, recipe, list(settings), below=below, prefect=prefect)
    if json:
        return say_json(found)
    say_table(found)
    again = shlex.join(["voxdata", "build", recipe, "--root", root, *(w for each in settings for w in ("--set", each))])
    print(f"{total(found)} photos are stored under {root}; to measure them: {again}")
    return 0


@command(crawl, "voxdata crawl estimate my.yaml --people 50 --root data --set sources.photos.kind=wikimedia")
def estimate(
    recipe: Recipe,
    /,
    *,
    root: NewRoot,
    settings: Settings = (),
    people: Annotated[int, Parameter(metavar="N", help="how many people the sources are asked for")] = 50,
    seed: Annotated[int, Parameter(metavar="N", help="draws the people; the same seed draws the same")] = 0,
    json: Json = False,
) -> int:
    """Ask the sources for a sample of the people, and say what a whole crawl can be expected to find.

    Prints photos and licences per source, projected to all people; where the root has photos of a source already, also
    how many portraits became of them. Fetches no photo, and writes nothing.
    """
    from flows.keys import put_keys
    from voxdata.pipeline import estimate as estimating
    from voxdata.pipeline.progress import logger
    from voxdata.recipe.reading import load_recipe
    from voxdata.store.storage import open_storage

    if people < 1:
        raise RecipeError(f"--people {people}: ask for at least one, as --people 50")
    put_keys(recipe, settings)
    storage = open_storage(root, create=True)
    found = estimating.estimate(storage, load_recipe(recipe, settings), people, seed, logger.info)
    before = estimating.yielded(storage)
    if json:
        return say_json(
            {
                "people": found.people,
                "asked": len(found.sample),
                "sources": [_row(found, source, before.get((source.name, source.kind))) for source in found.sources],
                "licences": _licences(found),
                "not_asked": list(found.passed),
            }
        )
    _say(found, before)
    return 0


@command(crawl, "voxdata crawl names --root data --choose id10001 Q42")
def names(
    *,
    root: Root,
    choose: Annotated[
        tuple[str, str] | None,
        Parameter(metavar="IDENTITY CHOICE", help="say who is meant: one of the choices that are listed"),
    ] = None,
    nobody: Annotated[str | None, Parameter(metavar="IDENTITY", help="say that none of the listed is meant")] = None,
    json: Json = False,
) -> int:
    """List the names that mean several people at a source, or say who is meant.

    Nothing is guessed: until somebody has said who is meant, a person has no photo of that source. What is said here
    acts in the next voxdata build.
    """
    import pyarrow as pa

    from voxdata.sources.crawl_names import NOBODY, decide, undecided
    from voxdata.sources.folder import printable
    from voxdata.store.storage import open_storage
    from voxdata.tables.people import CRAWL_NAMES

    storage = open_storage(root)
    if choose is not None and nobody is not None:
        raise IdentityError("give --choose IDENTITY CHOICE or --nobody IDENTITY, not both")
    said = choose if choose is not None else (nobody, NOBODY) if nobody is not None else None
    if said is not None:
        identity, choice = map(printable, said)
        decide(storage, identity, choice, at=datetime.now(UTC).isoformat(timespec="microseconds"))
        meant = f"means {choice}" if choice else "means none of them"
        print(f"the name of {identity} {meant}; this acts in the next voxdata build")
        return 0
    rows = undecided(storage)
    if json:
        return say_json(rows)
    if not rows:
        print("every name means one person, or somebody has said whom")
        return 0
    say_table(pa.Table.from_pylist(rows, CRAWL_NAMES.schema))
    waiting = counted(len({row["identity"] for row in rows}), "person waits", "people wait")
    print(f"{waiting} for a word: voxdata crawl names --choose IDENTITY CHOICE")
    return 0


def _say(found: Estimate, before: dict[tuple[str, str], Yielded]) -> None:
    import pyarrow as pa

    print(f"{len(found.sample)} of {counted(found.people, 'person was', 'people were')} asked for")
    rows = [_row(found, source, before.get((source.name, source.kind))) for source in found.sources]
    if rows:
        say_table(pa.Table.from_pylist(rows))
    licences = _licences(found)
    if licences:
        print()
        say_table(pa.Table.from_pylist(licences))
    for each in found.sources:
        if each.refused:
            left = ", ".join(f"{licence} ({count})" for licence, count in each.refused.most_common())
            print(f"{each.name}: left out by their licence: {left}")
        for identity, why in list(each.failed.items())[:3]:
            print(f"{each.name}: no answer for {identity}: {why}")
        if each.ambiguous:
            print(f"{each.name}: {len(each.ambiguous)} names may mean others; a build lists them: voxdata crawl names")
    for passed in found.passed:
        print(f"{passed} can only be read whole, and was not asked")


def _row(found: Estimate, source: SourceEstimate, before: Yielded | None) -> dict[str, Any]:
    """One source in the answer; a person's portraits are known only where photos were fetched before."""
    per_person = None if before is None or not before.people else before.portraits / before.people
    return {
        "source": source.name,
        "kind": source.kind,
        "answered": source.answered,
        "with_photos": sum(count > 0 for count in source.photos.values()),
        "ambiguous": len(source.ambiguous),
        "candidates": sum(source.photos.values()),
        "median_per_person": source.median,
        "mean_per_person": round(source.mean, 1),
        "candidates_for_all": found.projected(source),
        "fetched": None if before is None else before.photos,
        "portraits_per_person": None if per_person is None else round(per_person, 2),
        "portraits_for_all": None if per_person is None else round(per_person * found.people),
    }


def _licences(found: Estimate) -> list[dict[str, Any]]:
    counts = sum((source.licences for source in found.sources), Counter[str]())
    total = counts.total()
    return [
        {"licence": licence, "candidates": count, "share": round(count / total, 3)}
        for licence, count in counts.most_common()
    ]
