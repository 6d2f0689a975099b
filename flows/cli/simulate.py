"""Painted people with a known link between voice and face: `voxdata simulate`, and the product on them: `demo`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from flows.cli.options import command
from voxdata.format.errors import SourceError, counted

app = App()


@command(app, "voxdata simulate corpus --people 20 && voxdata simulate serve corpus")
def simulate(
    words: Annotated[
        list[str],
        Parameter(
            name="[serve] FOLDER",
            help="where to write photos/, wav/, vox1_meta.csv, truth.parquet; serve: publish its photos as a web site",
        ),
    ],
    /,
    *,
    people: Annotated[int, Parameter(help="identities")] = 40,
    photos: Annotated[int, Parameter(help="photos per identity")] = 10,
    clips: Annotated[int, Parameter(help="speech clips per identity")] = 6,
    link: Annotated[float, Parameter(help="how strongly voice and face are tied, 0 to 1")] = 1.0,
    seed: int = 0,
    port: Annotated[int, Parameter(help="of the site; 0 takes any free one")] = 0,
) -> int:
    """Write a corpus of painted people with a known voice-face link."""
    match words:
        case ["serve", folder]:
            return _serve(folder, port)
        case [folder] if folder != "serve":
            return _write(folder, people=people, photos=photos, clips=clips, link=link, seed=seed)
    raise SourceError(f"simulate {' '.join(words)}: write voxdata simulate FOLDER, or simulate serve FOLDER")


@command(app, "voxdata demo demo --people 60 --seconds 60")
def demo(
    folder: Annotated[str, Parameter(help="everything goes there")] = "demo",
    /,
    *,
    people: Annotated[int, Parameter(help="identities, 12 or more", validator=validators.Number(gte=12))] = 300,
    seconds: Annotated[float, Parameter(help="time box of the training")] = 120.0,
    seed: int = 0,
) -> int:
    """The whole product on painted people: simulate, crawl, build, train, judge, imagine.

    On a Prefect server and a worker of its own; the same command goes on where it was interrupted.
    """
    from flows.demo import run_demo

    run_demo(Path(folder).absolute(), people, seconds, seed)
    return 0


def _write(folder: str, *, people: int, photos: int, clips: int, link: float, seed: int) -> int:
    from voxdata.pipeline.processes import deaf_to_interrupts
    from voxdata.pipeline.progress import progress
    from voxdata.simulate.corpus import CorpusSettings, write_corpus

    settings = CorpusSettings(people=people, photos_per_person=photos, clips_per_person=clips, link=link, seed=seed)
    # What is waited for here waits for its workers: Ctrl-C ends all of them from outside (flows/cli/interrupts.py).
    with progress("simulate", people) as advance, deaf_to_interrupts():
        truth = write_corpus(Path(folder), settings, workers=2, progress=lambda done, total: advance(1))
    print(f"{truth.num_rows} files of {counted(people, 'person', 'people')}, and the truth of each, are in {folder}")
    return 0


def _serve(folder: str, port: int) -> int:
    import signal

    from voxdata.simulate.site import start_site

    with start_site(folder, port) as site:
        print(f"{site.url} shows the photos of {folder}; Ctrl-C ends it. Crawl it with:")
        print(f"  --set sources.photos.kind=site --set sources.photos.url={site.url}", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()
    return 0
