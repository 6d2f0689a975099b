"""The page: head, sections, style. Nothing in it is loaded from anywhere; its policy forbids it."""

from __future__ import annotations

from importlib import resources

from voxdata.catalog.database import CATALOG_KEY, UNPUBLISHED_CATALOG_KEY
from voxdata.catalog.query import open_readonly
from voxdata.catalog.snapshot import load_snapshot
from voxdata.catalog.unpublished import Unpublished
from voxdata.pages.report import dataset, distributions, outcomes, training
from voxdata.pages.report.clips import clips
from voxdata.pages.report.facts import Facts, hidden_people
from voxdata.pages.report.groups import groups
from voxdata.pages.report.html import Html, element, join
from voxdata.pages.report.runs import load_runs
from voxdata.store.storage import Storage

POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


def build_report(storage: Storage, left: Unpublished | None = None) -> str:
    """The report of a root's current snapshot as one HTML page; the same root gives the same page.

    With `left`, the report of a build that has no version, whose catalog is there. Raises `SnapshotError` where nothing
    is published, `CatalogError` without a catalog.
    """
    snapshot = load_snapshot(storage) if left is None else left.as_snapshot()
    with open_readonly(storage, CATALOG_KEY if left is None else UNPUBLISHED_CATALOG_KEY) as connection:
        facts = Facts(
            storage=storage, snapshot=snapshot, connection=connection, hidden=hidden_people(storage), left=left
        )
        return _document(facts)


def _document(facts: Facts) -> str:
    title = f"{facts.snapshot.name} · dataset report"
    style = resources.files("voxdata.pages.report").joinpath("page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(style)),
    )
    return f"<!doctype html>\n{element('html', head, _body(facts), lang='en')}\n"


def _body(facts: Facts) -> Html:
    runs = load_runs(facts.storage, facts.snapshot.id)
    sections = [
        ("Funnel", "Funnel", outcomes.funnel(facts)),
        ("Portraits", "Portraits", outcomes.portraits(facts)),
        *([("Clips", "Clips to listen to", heard)] if (heard := clips(facts)) is not None else []),
        ("Rejects", "Rejects and their reasons", outcomes.rejects(facts)),
        ("Groups", "Whom the rules reject", groups(facts)),
        ("Measurements", "Measurements and limits", distributions.distributions(facts)),
        ("Splits", "Splits", dataset.splits(facts)),
        ("Training", "Training", training.curves(facts, runs)),
        ("Voices", "Voice → generated face → true faces", training.voices(facts, runs)),
        ("Retrieval", "Retrieval", training.retrieval(facts, runs)),
        ("Versions", "Versions and hashes", dataset.versions(facts)),
    ]
    links = [element("a", name, href=f"#{name.lower()}") for name, _, _ in sections]
    header = element(
        "header",
        element("p", "Dataset report", class_="kicker"),
        element("h1", facts.snapshot.name),
        element(
            "p",
            *(("snapshot ", element("code", facts.snapshot.id)) if facts.left is None else ("unpublished",)),
            " · recipe ",
            element("code", facts.snapshot.recipe_hash),
        ),
        None if facts.left is None else element("p", facts.left.said(facts.storage.url), class_="warning"),
        dataset.tiles(facts),
    )
    content = [element("section", element("h2", title), part, id=name.lower()) for name, title, part in sections]
    footer = element(
        "footer",
        element("p", "Made by ", element("code", "voxdata report"), ". Generated faces: ", training.GENERATED),
    )
    skip = element("a", "Skip to the content", class_="skip", href="#main")
    nav = element("nav", *links, aria_label="Sections")
    main = element("main", *content, id="main", tabindex=-1)
    return element("body", join(skip, header, nav, main, footer))
