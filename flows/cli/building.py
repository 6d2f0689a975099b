"""The commands that make versions of a dataset, and what is looked at before: check, build, redecide, recipes."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import App, Parameter

from flows.cli.answers import say_json, say_table
from flows.cli.options import Json, MaybeRoot, NewRoot, Root, Settings, Unpublished, command

app = App()
Prefect = Annotated[
    bool,
    Parameter(
        "--prefect",
        help="run as a Prefect flow, on a temporary server where PREFECT_API_URL names none; with it, always a flow",
    ),
]
Recipe = Annotated[str, Parameter(name="RECIPE", help="a shipped recipe (see: voxdata recipes) or a .yaml file")]


@command(app, "voxdata check voxceleb-folder --set sources.photos.path=photos --set sources.speech.path=wav")
def check(
    recipe: Recipe = "voxceleb-folder", /, *, root: MaybeRoot = None, settings: Settings = (), json: Json = False
) -> int:
    """Look at what the sources of a recipe hold, before any work.

    Says in seconds who has photos and speech, whom folders stand for, what is not read, and what would stop a build.
    Nothing is changed. With a root, its names and opt-outs count. Status 1 where a build would stop.
    """
    from flows.checking import report
    from voxdata.pipeline.build import existing_root
    from voxdata.pipeline.check import check
    from voxdata.recipe.reading import load_recipe

    findings = check(load_recipe(recipe, settings), None if root is None else existing_root(root))
    if json:
        from dataclasses import asdict

        say_json({**asdict(findings), "stops": list(map(str, findings.stops))})
    else:
        print("\n".join(report(findings)))
    return 1 if findings.stops else 0


@command(app, "voxdata build hq-voxceleb --root data --set work.workers=8")
def build(
    recipe: Recipe, /, *, root: NewRoot, settings: Settings = (), prefect: Prefect = False, json: Json = False
) -> int:
    """Build or update a dataset."""
    from flows import starting
    from flows.overview import empty_splits
    from voxdata.catalog.named import named_query
    from voxdata.catalog.query import run_query
    from voxdata.catalog.snapshot import load_snapshot
    from voxdata.store.storage import open_storage

    snapshot = starting.build(root, recipe, list(settings), prefect=prefect)
    storage = open_storage(root)
    funnel = run_query(storage, named_query("funnel").sql)
    if json:
        return say_json({"snapshot": snapshot, "root": root, "funnel": funnel})
    print(f"snapshot {snapshot} is published under {root}")
    say_table(funnel)
    if lacking := empty_splits(storage, load_snapshot(storage, snapshot)):
        print(lacking, file=sys.stderr)
    return 0


@command(app, "voxdata redecide --root data --set faces.pose.max_angle_deg=8 --dry-run")
def redecide(
    *,
    root: Root,
    settings: Settings = (),
    dry_run: Annotated[bool, Parameter("--dry-run", help="only print what would change; publish nothing")] = False,
    unpublished: Unpublished = False,
    prefect: Prefect = False,
    json: Json = False,
) -> int:
    """Apply changed limits and new reviews to a finished build.

    Applies the rules again to what a finished build measured; pixels are touched only for faces that pass now. Prints
    the funnel before and after. What a build without a version has measured becomes one so.
    """
    from flows import starting
    from flows.unpublished import meant
    from voxdata.store.storage import open_storage

    left = meant(open_storage(root), unpublished) is not None
    done = starting.redecide(root, list(settings), dry_run=dry_run, unpublished=left, prefect=prefect)
    if json:
        return say_json({name: getattr(done, name) for name in ("before", "snapshot", "funnel", "totals", "notes")})
    for table in (done.funnel, done.totals):
        say_table(table)
        print()
    for note in done.notes:
        print(note)
    if done.snapshot is not None:
        said = "stays" if done.snapshot == done.before else "is published" if left else f"follows {done.before}"
        print(f"snapshot {done.snapshot} {said} under {root}")
    return 0


@command(app, "voxdata recipes hq-voxceleb --set faces.pose.max_angle_deg=8")
def recipes(recipe: Recipe | None = None, /, *, settings: Settings = (), json: Json = False) -> int:
    """List recipes, or print one with all its settings as YAML."""
    import yaml

    from voxdata.recipe.reading import load_recipe, shipped_recipes

    if recipe is None:
        shipped = {name: load_recipe(name).description for name in shipped_recipes()}
        if json:
            return say_json([{"name": name, "description": about} for name, about in shipped.items()])
        for name, about in shipped.items():
            print(f"{name:<20} {about}")
        return 0
    resolved = load_recipe(recipe, settings).model_dump(mode="json")
    if json:
        return say_json(resolved)
    print(yaml.safe_dump(resolved, sort_keys=False), end="")
    return 0
