"""What a flow run shows on its page: Prefect artifacts, made from what lies under the root.

An artifact is a copy for the eye; the catalog, the journal and the run's folder are the truth. A server that does not
take one costs a line in the log, not the run.
"""

from __future__ import annotations

import base64
import io
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
from PIL import Image, ImageDraw, ImageFont
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL

from flows.cards import card_text
from flows.prefect_api import check_api
from models.evaluate.report import stem
from models.images import SAMPLES_NOTICE
from voxdata.catalog.query import run_query
from voxdata.catalog.query import stats as stats_table
from voxdata.format.json_text import read_object
from voxdata.pipeline.progress import logger
from voxdata.store.storage import Storage

UPDATE_EVERY_S = 2.0
SAMPLES, SAMPLES_OF = "samples", "Samples of "
ROWS = 1000  # of a table artifact
PAGE = 200  # artifacts that a Prefect server hands out at once

Show = Callable[[float, str], None]


@contextmanager
def _not_worth_a_run() -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        logger.warning("the Prefect server did not take an artifact: %s", error)


@_not_worth_a_run()
def show_snapshot(storage: Storage, snapshot: str) -> None:
    """The funnel of faces and clips, and the split table of the current snapshot (Table 1 of the SF2F paper)."""
    about = f"Snapshot {snapshot} under {storage.url}"
    funnel = run_query(storage, "SELECT kind, outcome, items, people, share FROM funnel").to_pylist()
    create_table_artifact(funnel, key="funnel", description=f"{about}: what became of every face and clip")
    create_table_artifact(
        stats_table(storage).to_pylist(), key="splits", description=f"{about}: people, portraits and speech per split"
    )


@contextmanager
def shown_progress(key: str, about: str) -> Iterator[Show]:
    """A bar from 0 to 100 %; yields the function that moves it (per cent, what is going on), at most every 2 s."""
    artifact: UUID | None = None
    with _not_worth_a_run():
        artifact = cast(UUID, create_progress_artifact(progress=0.0, key=key, description=about))
    said = time.monotonic()
    last = (0.0, about)

    def show(per_cent: float, doing: str) -> None:
        nonlocal said, last
        last = (min(100.0, per_cent), doing)
        if time.monotonic() - said >= UPDATE_EVERY_S:
            said = time.monotonic()
            send()

    @_not_worth_a_run()
    def send() -> None:
        if artifact is not None:
            update_progress_artifact(artifact, *last)

    try:
        yield show
    finally:
        send()


@contextmanager
def shown_counts(stage: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar over the `total` items of a stage; yields the function that says how many more are done."""
    done = 0
    with shown_progress(stage.replace(".", "-"), f"{stage}: 0 of {total}") as show:

        def advance(more: int) -> None:
            nonlocal done
            done += more
            show(100.0 * done / max(1, total), f"{stage}: {done} of {total}")

        yield advance


@_not_worth_a_run()
def show_training(run_dir: Path) -> None:
    """The loss curve and the newest sample grid of a run, as far as it has come."""
    lines = metrics(run_dir)
    if lines:
        picture = _image("loss and l1 over the steps", loss_curves(lines))
        create_markdown_artifact(
            f"{picture}\n\n{_loss_table(lines)}", key="losses", description=f"Losses of {run_dir.name}"
        )
    samples = sorted((run_dir / "samples").glob("step-*.png"))
    if samples:
        create_markdown_artifact(
            f"{SAMPLES_NOTICE}\n\n{_image(samples[-1].stem, samples[-1].read_bytes())}",
            key=SAMPLES,
            description=f"{SAMPLES_OF}{run_dir.name}, {samples[-1].stem}",
        )


def delete_samples(runs: Iterable[str]) -> int:
    """Delete the sample grids of these runs from the configured Prefect server; return how many there were.

    Raises `BackendError` where one is configured and does not answer.
    """
    url = PREFECT_API_URL.value()
    if not url:
        return 0
    check_api(url)
    theirs = tuple(f"{SAMPLES_OF}{name}, " for name in runs)
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[SAMPLES]))
    found: list[UUID] = []
    with get_client(sync_client=True) as client:
        for offset in itertools.count(0, PAGE):
            page = client.read_artifacts(artifact_filter=wanted, limit=PAGE, offset=offset)
            found += [artifact.id for artifact in page if (artifact.description or "").startswith(theirs)]
            if len(page) < PAGE:
                break
        for artifact in found:
            client.delete_artifact(artifact)
    return len(found)


@_not_worth_a_run()
def show_evaluation(run_dir: Path, split: str = "test") -> None:
    """The tables of `evaluation.md`, or of `evaluation-<split>.md`."""
    create_markdown_artifact(
        (run_dir / f"{stem(split)}.md").read_text(encoding="utf-8"),
        key="evaluation",
        description=f"{run_dir.name} on people it never saw",
    )


@_not_worth_a_run()
def show_faces(rows: Sequence[Mapping[str, str]], run: str) -> None:
    """What became of each voice file, the first thousand of them."""
    create_table_artifact(
        [dict(row) for row in rows[:ROWS]], key="faces", description=f"Voices that {run} was asked for"
    )


@_not_worth_a_run()
def show_card(run_dir: Path, key: str = "decision") -> None:
    """The model card, with its lineage and the decision about the run."""
    create_markdown_artifact(
        card_text(run_dir),
        key=key,
        description=f"Model card of {run_dir.name}",
    )


def metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The whole lines of `metrics.jsonl`."""
    path = run_dir / "metrics.jsonl"
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    read = []
    for line in (line for line in lines if line.endswith("\n")):
        with suppress(ValueError):
            read.append(read_object(line))
    return read


def _loss_table(lines: list[dict[str, Any]]) -> str:
    shown = [lines[0], lines[-1]] if len(lines) > 1 else lines
    names = [name for name in lines[-1] if name not in ("step", "stage", "elapsed_s", "steps_per_s")]
    heading = ["mean loss up to", *(f"step {line['step']}" for line in shown)]
    rows = [[name, *(f"{line[name]:.4g}" if name in line else "" for line in shown)] for name in names]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, ["---"] * len(heading), *rows))


def _image(text: str, png: bytes) -> str:
    return f"![{text}](data:image/png;base64,{base64.b64encode(png).decode()})"


WIDTH_PX, PANEL_PX, MARGIN_PX = 640, 180, 56
PAPER, INK, GRID, LINE = "#ffffff", "#404040", "#d8d8d8", "#1f6fb4"


def loss_curves(lines: Sequence[Mapping[str, Any]], names: Sequence[str] = ("loss", "l1")) -> bytes:
    """A PNG with a panel per loss over the steps of `metrics.jsonl`; losses that no line holds are left out."""
    panels = [(name, points) for name in names if (points := _points(lines, name))]
    image = Image.new("RGB", (WIDTH_PX, PANEL_PX * max(1, len(panels))), PAPER)
    draw = ImageDraw.Draw(image)
    for number, (name, points) in enumerate(panels):
        _panel(draw, number * PANEL_PX, name, points)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _points(lines: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(float(line["step"]), float(line[name])) for line in lines if name in line]


def _panel(draw: ImageDraw.ImageDraw, top: int, name: str, points: list[tuple[float, float]]) -> None:
    font = ImageFont.load_default(size=12)
    steps, values = zip(*points, strict=True)
    left, right, upper, lower = MARGIN_PX, WIDTH_PX - 12, top + 26, top + PANEL_PX - 24
    step_span, value_span = max(steps) - min(steps) or 1.0, max(values) - min(values) or 1.0
    draw.text((left, top + 6), name, fill=INK, font=font)
    for value, y in ((max(values), upper), (min(values), lower)):
        draw.line([(left, y), (right, y)], fill=GRID)
        draw.text((left - 6, y), f"{value:.3g}", fill=INK, font=font, anchor="rm")
    draw.text((left, lower + 4), f"step {min(steps):.0f}", fill=INK, font=font)
    draw.text((right, lower + 4), f"{max(steps):.0f}", fill=INK, font=font, anchor="ra")
    places = [
        (
            left + (step - min(steps)) / step_span * (right - left),
            lower - (value - min(values)) / value_span * (lower - upper),
        )
        for step, value in points
    ]
    draw.line(places, fill=LINE, width=2)
    for x, y in places if len(places) < 3 else places[-1:]:
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=LINE)
