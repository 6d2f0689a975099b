"""The commands that show pages: report, browse, review, serve."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from flows.cli.models import Enhance, Run, enhancer
from flows.cli.options import Host, Model, Root, RunRoot, Unpublished, command

if TYPE_CHECKING:
    from voxdata.pages.local_server import Page

app = App()
TOKEN_BYTES = 24


@command(app, "voxdata report --root data --out report.html")
def report(
    *,
    root: Root,
    out: Annotated[str, Parameter(metavar="FILE", help="page to write")] = "report.html",
    unpublished: Unpublished = False,
) -> int:
    """One HTML page about the dataset and its models; opens offline."""
    from flows.unpublished import meant
    from voxdata.catalog.unpublished import UNPUBLISHED
    from voxdata.forgetting.outputs import write_noted
    from voxdata.pages.report.page import build_report
    from voxdata.pages.report.runs import shown_snapshots
    from voxdata.pipeline.progress import waiting
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    left = meant(storage, unpublished)
    named = UNPUBLISHED if left is not None else None
    with waiting("report"):
        size = write_noted(
            storage,
            "report",
            out,
            lambda: shown_snapshots(storage, named),
            lambda: build_report(storage, left).encode(),
        )
    print(f"{out}: {size / 1e6:.1f} MB, opens in any browser, offline")
    return 0


@command(app, "voxdata browse --root data --view 'show=rejected&sharpness=..0.06&sort=sharpness'")
def browse(
    *,
    root: Root,
    view: Annotated[
        str,
        Parameter(metavar="TEXT", help="what the page opens with: the part of a link behind its #, as reason=blurred"),
    ] = "",
    host: Host = "127.0.0.1",
    port: Annotated[int, Parameter(help="0 takes any free one")] = 8767,
    review_port: Annotated[int, Parameter(help="of the review page that faces link to; 0 takes any free one")] = 0,
    unpublished: Unpublished = False,
) -> int:
    """A local web page over the whole catalog: every face, kept or rejected, by its measurements.

    Serves it until Ctrl-C, on this machine only unless told otherwise, with a review page beside it: what is decided
    there is kept in the journal and acts in the next publish.
    """
    from flows.unpublished import meant
    from voxdata.pages.browse.routes import browse_page
    from voxdata.pages.browse.session import Browsing
    from voxdata.pages.review.routes import review_page
    from voxdata.pages.review.session import ReviewSession
    from voxdata.pipeline.progress import waiting
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    left = meant(storage, unpublished) is not None
    with ExitStack() as stack:
        with waiting("browse"):
            session = Browsing(storage, unpublished=left)
            stack.callback(session.close)
            opened = session.view(view).text()
            review = ReviewSession(storage, unpublished=left)
            stack.callback(review.sheets.close)
            shown, faces = (session.faces(text, 0, 1)["count"] for text in (opened, ""))
        addresses: list[str] = []
        _serve_pages(
            [
                (browse_page(session, lambda: addresses[1] if len(addresses) > 1 else None), port),
                (review_page(review), review_port),
            ],
            host,
            about=f"shows {_faces(shown, faces)} of {root}; Ctrl-C ends it.",
            others="whoever has its address sees the photos, hears the clips and can decide about faces",
            opened=f"#{opened}" if opened else "",
            addresses=addresses,
        )
    return 0


def _faces(shown: int, faces: int) -> str:
    """How many a view shows, of how many."""
    return f"{shown:,}{'' if shown == faces else f' of {faces:,}'} {'face' if faces == 1 else 'faces'}"


@command(app, "voxdata review --root data --reviewer ada")
def review(
    *,
    root: Root,
    reviewer: Annotated[
        str | None, Parameter(metavar="NAME", help="name that decisions carry; the page asks for one otherwise")
    ] = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, Parameter(help="0 takes any free one")] = 8765,
    unpublished: Unpublished = False,
) -> int:
    """A local web page on which people keep and reject portraits.

    Serves it until Ctrl-C, on this machine only unless told otherwise. What they decide is kept in the journal at once
    and acts in the next publish.
    """
    from flows.unpublished import meant
    from voxdata.format.errors import counted
    from voxdata.pages.review.decisions import reviewer_name
    from voxdata.pages.review.routes import review_page
    from voxdata.pages.review.session import ReviewSession
    from voxdata.store.storage import open_storage

    name = reviewer_name(reviewer) if reviewer else ""
    storage = open_storage(root)
    session = ReviewSession(storage, unpublished=meant(storage, unpublished) is not None)
    people = counted(len(session.sheets.people), "person", "people")
    try:
        _serve_pages(
            [(review_page(session, name), port)],
            host,
            about=f"shows {people} of {root}; Ctrl-C ends it.\n"
            "What you decide is kept at once and acts in the next publish.",
            others="whoever has its address sees the photos and can decide about them",
        )
    finally:
        session.sheets.close()
    print(f"words added to the journal of {root}: {session.reviews.said}")
    return 0


@command(app, "voxdata serve --run data/runs/sf2f-tiny")
def serve(
    *,
    run: Run,
    root: RunRoot = None,
    model: Model = None,
    enhance: Enhance = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, Parameter(help="0 takes any free one")] = 8766,
    device: Annotated[str, Parameter("--device", help="auto, cpu or cuda")] = "auto",
) -> int:
    """A local web page: drop or record a voice clip, see plausible faces.

    Serves it until Ctrl-C, on this machine only unless told otherwise. The faces show no real person and identify
    nobody; clips are not stored.
    """
    from flows.registry import meant_enhancer, meant_run
    from flows.serve import Answering
    from voxdata.pages.serve.routes import voice_page

    named = enhancer(enhance)
    answering = Answering(meant_run(run, root, model), meant_enhancer(named, root) if named else None, device)
    _serve_pages(
        [(voice_page(answering, answering.about()), port)],
        host,
        about=f"paints faces for voices with {run}; Ctrl-C ends it.\n"
        "They show no real person and identify nobody; clips are not stored.",
        others="whoever has its address can send clips; browsers record on this machine only",
    )
    return 0


def _serve_pages(
    pages: Sequence[tuple[Page, int]],
    host: str,
    *,
    about: str,
    others: str,
    opened: str = "",
    addresses: list[str] | None = None,
) -> None:
    """Serve pages, each on its port, until Ctrl-C; the line with the first one's address ends with `about`.

    `others` says what whoever has the address can do, for an address that other machines can reach. `opened` is what
    the page opens with, behind its address; `addresses` receives those of all pages.
    """
    import asyncio
    import secrets

    from voxdata.pages.access import is_loopback
    from voxdata.pages.local_server import serve as serve_until_stopped

    if not is_loopback(host):
        print(f"--host {host}: other machines can reach the page, unencrypted; {others}", file=sys.stderr)

    def ready(*urls: str) -> None:
        if addresses is not None:
            addresses.extend(urls)
        print(f"{urls[0]}{opened} {about}", flush=True)

    asyncio.run(serve_until_stopped(pages, secrets.token_urlsafe(TOKEN_BYTES), host, ready))
