"""What a build on object storage asks of it: requests per photo or clip, bytes moved, requests in flight.

    python benchmarks/s3_requests.py                              some minutes: two builds of painted people
    python benchmarks/s3_requests.py --people 4 8 --keep FOLDER   corpora that a second run finds there
    python benchmarks/s3_requests.py --away                       photos and speech come from the server, too

The server (`s3_server.py`: moto, in a process of its own, each answer 30 ms late) counts. Two corpora differ in the
number of people alone, so the slope between their builds is what one more photo or clip costs, and what is left is what
a build costs in any case. Shards cover all buckets, so that there are as many of them at both sizes. Then the catalog
is built once more, by a process that has read nothing yet. Requests for the lease go by time, one in two seconds of
each process that writes, and are counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.compute as pc
from figures import Figure, Section, show
from s3_server import SEEN

from voxdata.catalog.snapshot import load_snapshot, published_tables
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.store.fragments import parquet_table
from voxdata.store.storage import Storage, open_storage

BUCKET = "people"
LEASE = "/.lease/"
SOURCES = "sources"
SETTINGS = (
    "faces.measure.frontal_pitch_deg=0",
    "faces.pose.max_angle_deg=12",
    "faces.select.min_per_identity=1",
    "splits.val_share=0.2",
    "splits.test_share=0.3",
    "shards.buckets_per_shard=4096",
)


@dataclass(frozen=True, kw_only=True)
class Built:
    """One build: what it asked for, and what there was to move."""

    people: int
    items: int
    requests: list[dict[str, Any]]
    most: int
    most_of_rebuild: int
    seconds: float
    needed_bytes: int

    @property
    def of_work(self) -> list[dict[str, Any]]:
        """Requests but for those of the lease."""
        return [each for each in self.requests if LEASE not in f"{each['key']}/{each['prefix']}/"]

    @property
    def moved_bytes(self) -> int:
        return sum(each["sent"] + each["got"] for each in self.requests)

    def row(self) -> dict[str, Any]:
        """As a row of a table."""
        kinds = Counter(each["kind"] for each in self.of_work)
        return {
            "people": self.people,
            "photos and clips": self.items,
            "requests": len(self.of_work),
            **{kind: kinds[kind] for kind in ("GET", "HEAD", "LIST", "PUT", "DELETE", "POST")},
            "of the lease": len(self.requests) - len(self.of_work),
            "MB moved": self.moved_bytes / 1e6,
            "in flight": self.most,
            "in flight, catalog again": self.most_of_rebuild,
            "seconds": self.seconds,
        }


@contextmanager
def serving(latency_s: float) -> Iterator[str]:
    """The server's URL. This process and its children ask it for every bucket."""
    script = Path(__file__).parent / "s3_server.py"
    process = subprocess.Popen(
        [sys.executable, str(script), str(latency_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    url = f"http://127.0.0.1:{int(process.stdout.readline())}"
    os.environ.update(
        AWS_ENDPOINT_URL=url, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="us-east-1"
    )
    try:
        yield url
    finally:
        process.stdin.close()
        process.wait()


def seen(url: str) -> dict[str, Any]:
    """What was asked since the last call."""
    with urllib.request.urlopen(f"{url}{SEEN}") as answer:
        told: dict[str, Any] = json.load(answer)
    return told


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is built, and how: so many photos and clips of each person, `away` whether these lie on the server."""

    photos: int
    clips: int
    workers: int
    away: bool


def build(url: str, folder: Path, people: int, order: Order) -> Built:
    """Build a corpus of so many people into a new root, and count."""
    corpus = folder / f"corpus-{people}-{order.photos}-{order.clips}"
    if not (corpus / "truth.parquet").exists():
        settings = CorpusSettings(people=people, photos_per_person=order.photos, clips_per_person=order.clips, seed=3)
        write_corpus(corpus, settings)
    root = f"s3://{BUCKET}/root-{people}"
    read_from = str(corpus)
    if order.away:
        read_from = f"s3://{BUCKET}/{SOURCES}/{corpus.name}"
        for name in ("photos", "wav"):
            fsspec.filesystem("s3").put(f"{corpus / name}/", f"{read_from}/{name}/", recursive=True)
    sources = (
        f"sources.photos.path={read_from}/photos",
        f"sources.speech.path={read_from}/wav",
        f"sources.metadata.path={corpus / 'vox1_meta.csv'}",
        f"work.workers={order.workers}",
    )
    named = [word for setting in (*sources, *SETTINGS) for word in ("--set", setting)]
    seen(url)
    began = time.monotonic()
    _voxdata("build", "voxceleb-folder", "--root", root, *named)
    seconds = time.monotonic() - began
    told = seen(url)
    _voxdata("catalog", "rebuild", "--root", root)
    return Built(
        people=people,
        items=people * (order.photos + order.clips),
        requests=told["requests"],
        most=told["most"],
        most_of_rebuild=seen(url)["most"],
        seconds=seconds,
        needed_bytes=needed_bytes(open_storage(root), order.away),
    )


def _voxdata(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "flows.cli", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def needed_bytes(storage: Storage, away: bool) -> int:
    """What a build must move: all that it writes, once; photos that it measures, those that it renders, what it packs,
    and every table of rows, once each; of sources on the server photos once, and clips when they are hashed and when
    they are measured."""
    sizes = {key: size for key, (size, _) in storage.written().items()}
    tables = published_tables(storage, load_snapshot(storage))
    photos = parquet_table(storage.read(tables["photos"][0]), ["item_id", "size_bytes"])
    verdicts = parquet_table(storage.read(tables["face_verdicts"][0]), ["item_id", "candidate"])
    rendered = pc.unique(verdicts.filter(pc.field("candidate"))["item_id"])
    again = photos.filter(pc.is_in(photos["item_id"], value_set=rendered))
    read = pc.sum(photos["size_bytes"]).as_py() + pc.sum(again["size_bytes"]).as_py()
    packed = sum(size for key, size in sizes.items() if key.startswith("shards/") and key.endswith(".tar"))
    rows = sum(size for key, size in sizes.items() if key.endswith(".parquet"))
    sources = 0
    if away:
        clips = parquet_table(storage.read(tables["utterance_files"][0]), ["size_bytes"])
        sources = pc.sum(photos["size_bytes"]).as_py() + 2 * pc.sum(clips["size_bytes"]).as_py()
    return int(sum(sizes.values()) + read + packed + rows + sources)


def figures(small: Built, large: Built, order: Order, latency_s: float) -> Section:
    """The slope between two builds, and what it must be."""
    more = large.items - small.items
    slope = (len(large.of_work) - len(small.of_work)) / more
    fixed = len(small.of_work) - slope * small.items
    there = ", its sources there, too" if order.away else ""
    return Section(
        title=f"A build on S3 whose answers come {latency_s * 1000:.0f} ms late{there}",
        figures=[
            Figure(name="requests per photo or clip", value=slope, n=more, must=2),
            Figure(name="requests of a build beyond these", value=fixed, n=small.items),
            Figure(
                name="bytes moved, of those that must be",
                value=large.moved_bytes / large.needed_bytes,
                n=len(large.requests),
                must=1.2,
            ),
            Figure(
                name="most requests in flight",
                value=float(large.most),
                n=len(large.requests),
                must=16,
                higher=True,
            ),
        ],
        tables={
            "Builds": [small.row(), large.row()],
            "Where the larger one goes": _places(large),
        },
        notes=[
            f"{order.photos} photos and {order.clips} clips a person: with the hundreds of VoxCeleb what a person "
            "costs, a few requests per stage, is shared by more."
        ],
    )


def _places(built: Built) -> list[dict[str, Any]]:
    """Requests and bytes by place and kind, the most first."""
    counts: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for each in built.requests:
        key = each["prefix"] if each["kind"] == "LIST" else each["key"].removeprefix(f"/{BUCKET}/")
        words = [word for word in key.split("/")[1:] if word]
        suffix = "" if each["kind"] == "LIST" else f" *.{words[-1].rpartition('.')[2]}" if words else ""
        place = "/".join(words[:2] if len(words) > 2 else words[:1]) + suffix, each["kind"]
        counts[place] += 1
        sizes[place] += each["sent"] + each["got"]
    return [
        {"place": place, "kind": kind, "requests": count, "MB": sizes[place, kind] / 1e6}
        for (place, kind), count in counts.most_common(24)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Build twice, print what it took, and write it with `--result`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--people", type=int, nargs=2, default=(8, 24), metavar=("FEW", "MANY"))
    parser.add_argument("--latency", type=float, default=0.03, help="seconds before each answer")
    parser.add_argument("--photos", type=int, default=5, help="of each person; few: what a person costs weighs most")
    parser.add_argument("--clips", type=int, default=3, help="of each person")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--away", action="store_true", help="photos and speech lie on the server, too")
    parser.add_argument("--keep", type=Path, help="write the corpora here, or take those that are there")
    parser.add_argument("--result", help="write benchmarks/results/<result>.json")
    options = parser.parse_args(arguments)
    order = Order(photos=options.photos, clips=options.clips, workers=options.workers, away=options.away)
    with tempfile.TemporaryDirectory(prefix="s3-requests-") as name, serving(options.latency) as url:
        fsspec.filesystem("s3").mkdirs(BUCKET, exist_ok=True)
        folder = options.keep or Path(name)
        few, many = (build(url, folder, people, order) for people in options.people)
        show([figures(few, many, order, options.latency)], options.result)


if __name__ == "__main__":
    main()
