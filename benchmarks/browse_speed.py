"""How long one waits for `voxdata browse`, in Chromium: the first grid, a filter by a drag, an order, a far place.

    python benchmarks/browse_speed.py --result browse_speed      about two minutes on 2 cores
    python benchmarks/browse_speed.py --faces 1000000            as many
    python benchmarks/browse_speed.py --folder /tmp/faces        keep the generated root there, and use it again

The rows are those of `catalog_scale.py`, at the size that has so many faces; beside them lie painted photos, so that
pictures are read, cut out and encoded as ever. The command itself serves, in a process of its own; each opening is in
a fresh profile. Times are those of the page: from the navigation, or from the mouse button that is let go, to the frame
in which all that is waited for is there. Other load on the machine makes them longer: the load average is noted.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from catalog_scale import AT
from figures import Figure, Section, show
from scale_data import PHOTOS, ScaleData
from scale_root import UnsyncedStorage, build_root

from tests.chromium import launched
from voxdata.catalog.publish import rebuild
from voxdata.catalog.query import open_readonly
from voxdata.catalog.snapshot import published, state_publication
from voxdata.format.snapshot import Snapshot
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.sources.originals import originals
from voxdata.store.fragments import Fragment, TarBytes, members_of, parquet_bytes, tar_of
from voxdata.store.stored_table import read_table

FACES = 100_000
OPENINGS = 7
DRAGS = 9
DRAGGED = ("face_angle_deg", "yaw_deg", "pitch_deg")
WINDOW = {"width": 1400, "height": 900}
WATCH = """
window.seen = {}; window.since = 0; window.gaps = [];
for (const done of ["mouseup", "change"]) addEventListener(done, () => { seen = {}; since = performance.now(); }, true);
let last = 0;
const look = (now) => {
  gaps.push(now - last); last = now;
  const tiles = [...document.querySelectorAll(".tile")], images = [...document.querySelectorAll(".tile img")];
  const view = location.hash.slice(1), { view: shown, counted } = document.body?.dataset ?? {};
  const none = document.querySelector("#count")?.textContent.startsWith("0 ");
  const there = shown === view && (tiles.length || none) && tiles.every((tile) => tile.dataset.key);
  if (there) seen.grid ??= performance.now() - since;
  if (there && counted === view) seen.counts ??= performance.now() - since;
  const painted = images.length === tiles.length && images.every((image) => image.complete && image.naturalWidth);
  if (there && painted) seen.pictures ??= performance.now() - since;
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""


def build(folder: Path, faces: int) -> None:
    """The root of generated rows with painted pictures, and its catalog, unless it is there."""
    storage = UnsyncedStorage(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if published(storage):
        return
    snapshot = build_root(storage, ScaleData(faces / PHOTOS))
    with tempfile.TemporaryDirectory() as temporary:
        write_corpus(Path(temporary), CorpusSettings(people=8, photos_per_person=4, clips_per_person=0, seed=2))
        painted = [path.read_bytes() for path in sorted((Path(temporary) / "photos").rglob("*.jpg"))]
    _add_photos(storage, snapshot, painted)
    _add_portraits(storage, snapshot, painted)
    state_publication(storage, snapshot, snapshot.tables, at=AT)
    rebuild(storage)


def _add_photos(storage: UnsyncedStorage, snapshot: Snapshot, painted: list[bytes]) -> None:
    """An original for each row: one painted photo in each bucket, which all its rows name."""
    photos, store = read_table(storage, snapshot.tables["photos"][0]), originals(storage)
    for bucket in pc.unique(photos["bucket"]).to_pylist():
        rows = photos.filter(pc.equal(photos["bucket"], bucket))
        first = rows.slice(0, 1)
        item = first["item_id"][0].as_py()
        part = store.append(bucket, Fragment(first, {item: {"original": painted[bucket % len(painted)]}}))
        members = read_table(storage, part)["members"][0].as_py()
        others = rows.slice(1).append_column("part", pa.repeat(part, max(rows.num_rows - 1, 0)))
        names = others["item_id"].to_pylist()
        if names:
            store.commit(bucket, others.append_column("members", members_of(names, dict.fromkeys(names, members))))


def _add_portraits(storage: UnsyncedStorage, snapshot: Snapshot, painted: list[bytes]) -> None:
    for number, part in enumerate(snapshot.tables["renders"]):
        tar, data = TarBytes(), painted[number % len(painted)]
        where = {"suffix": "jpg", "offset": tar.add("portrait.jpg", data), "size": len(data), "sha256": ""}
        storage.commit(tar_of(part), tar.finished())
        rows = read_table(storage, part)
        names = rows["item_id"].to_pylist()
        members = members_of(names, {name: [where] for name in names})
        storage.commit(part, parquet_bytes(rows.append_column("members", members)))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """`voxdata browse` over the root; its address."""
    command = [sys.executable, "-m", "flows.cli", "browse", "--root", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[0]
        finally:
            process.send_signal(signal.SIGINT)


def opening(browser: Any, url: str) -> dict[str, float]:
    """Seconds from the navigation to grid, counts and pictures of a fresh page."""
    context = browser.new_context(viewport=WINDOW)
    try:
        return _seen(_opened(context, url))
    finally:
        context.close()


def filtering(browser: Any, url: str) -> list[dict[str, float]]:
    """The same from the end of each drag over a histogram, one filter after the other and onto the others."""
    context = browser.new_context(viewport=WINDOW)
    tab = _opened(context, url)
    _seen(tab)
    found = []
    for number in range(DRAGS):
        chart = tab.locator(f"[data-measure={DRAGGED[number % len(DRAGGED)]}] .u-over")
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        middle, start, end = box["y"] + box["height"] / 2, 0.03 * number, 0.6 + 0.04 * number
        tab.mouse.move(box["x"] + start * box["width"], middle)
        tab.mouse.down()
        tab.mouse.move(box["x"] + end * box["width"], middle, steps=12)
        tab.mouse.up()
        found.append(_seen(tab))
    context.close()
    return found


def ordering(browser: Any, url: str) -> tuple[list[float], list[float], float]:
    """Seconds until the grid is in another order, and until faces far below are there; the longest frame of a second
    and a half of scrolling, in seconds."""
    context = browser.new_context(viewport=WINDOW)
    tab = _opened(context, url)
    _seen(tab)
    orders, places = [], []
    for name in ("sharpness", "smile", "yaw_deg", "glasses", "occlusion"):
        tab.select_option("#sort", name)
        tab.wait_for_function("name => location.hash.includes(name)", arg=name)
        orders.append(_seen(tab, "grid")["grid"])
    for share in (0.5, 0.9, 0.2, 0.7, 0.4):
        tab.evaluate(
            """share => { const grid = document.querySelector("#grid"); since = performance.now();
            grid.scrollTop = share * grid.scrollHeight;
            return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
              seen = {}; done(); }))); }""",
            share,
        )
        places.append(_seen(tab, "grid")["grid"])
    longest = tab.evaluate(
        """() => new Promise((done) => { const grid = document.querySelector("#grid"); gaps = [];
        const until = performance.now() + 1500;
        const step = () => { grid.scrollTop += 60; if (performance.now() < until) requestAnimationFrame(step);
          else done(Math.max(...gaps)); };
        requestAnimationFrame(step); })"""
    )
    context.close()
    return orders, places, longest / 1000


def _opened(context: Any, url: str) -> Any:
    tab = context.new_page()
    tab.add_init_script(WATCH)
    tab.goto(url)
    return tab


def _seen(tab: Any, last: str = "pictures") -> dict[str, float]:
    tab.wait_for_function("last => seen[last] && (last === 'grid' || seen.counts)", arg=last, timeout=60_000)
    return {name: value / 1000 for name, value in tab.evaluate("() => seen").items()}


def measure(folder: Path, faces: int) -> list[Section]:
    """All times, and what was looked at."""
    with open_readonly(UnsyncedStorage(folder)) as connection:
        ((rows, people),) = connection.execute("SELECT count(*), count(DISTINCT person) FROM faces").fetchall()
    with served(folder) as url, launched() as browser:
        opened = [opening(browser, url) for _ in range(OPENINGS)]
        dragged = filtering(browser, url)
        orders, places, longest = ordering(browser, url)
    bounds = {"first grid": 1.0, "filter": 0.3} if faces == FACES else {}

    spread: list[dict[str, object]] = []

    def figure(name: str, values: list[float], must: float | None = None) -> Figure:
        spread.append({"what": name, "fastest s": min(values), "slowest s": max(values)})
        return Figure(
            name=f"{name}, median s",
            value=statistics.median(values),
            n=len(values),
            must=must,
        )

    return [
        Section(
            title="Browse",
            figures=[
                figure("first grid", [each["grid"] for each in opened], bounds.get("first grid")),
                figure("first grid with all its pictures", [each["pictures"] for each in opened]),
                figure("histograms in sight, first time", [each["counts"] for each in opened]),
                figure("filter by a drag: the grid", [each["grid"] for each in dragged]),
                figure("filter by a drag: grid and histograms", _later(dragged), bounds.get("filter")),
                figure("filter by a drag: all pictures", [each["pictures"] for each in dragged]),
                figure("another order: the grid", orders),
                figure("a far place: the faces", places),
                Figure(name="longest frame while scrolling, s", value=longest, n=1),
            ],
            tables={"The fastest and the slowest": spread},
            notes=[
                f"{rows:,} faces of {people:,} people, in a window of {WINDOW['width']} x {WINDOW['height']}.",
                f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.",
            ],
        )
    ]


def _later(seen: list[dict[str, float]]) -> list[float]:
    return [max(each["grid"], each["counts"]) for each in seen]


def main() -> None:
    """Build or open the root, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=FACES, help=f"faces in the catalog (default {FACES:,})")
    parser.add_argument("--folder", type=Path, help="where to keep the generated root (default: a temporary folder)")
    parser.add_argument("--result", help="write benchmarks/results/<result>.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "root"
        build(folder, options.faces)
        show(measure(folder, options.faces), options.result)


if __name__ == "__main__":
    main()
