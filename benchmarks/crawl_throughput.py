"""Figures of the crawl: speed beside img2dataset, a list of two million, politeness, dead hosts, kills, reruns.

    python -m venv /tmp/i2d && /tmp/i2d/bin/pip install img2dataset==1.47.0 'setuptools<81' 'numpy>=2'
    python benchmarks/crawl_throughput.py --img2dataset /tmp/i2d/bin/python         about 10 minutes
    python benchmarks/crawl_throughput.py --only list

Everything is asked on loopback. The server (`crawl_server.py`) is a process of its own, and what it saw is what counts:
speed is photos between its first and its last one. The two programs take turns at the same urls with the same number of
connections; medians of `--repeats` runs. img2dataset fetches only: no resizing, no re-encoding. At 200 ms latency each
request waits for its answer; with round trips of 200 ms each new connection waits for its handshake, too, as it does in
a network: img2dataset opens one for each photo, ours are kept. Beside both stands what so many connections could bring
at most. The hostile server is `tests/crawl/test_crawl_hostile.py`, which fails where a case does not end as it must.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from crawl_child import child, command_of, img2dataset, run_python, write_urls
from crawl_server import Behaviour, Seen, Served
from figures import Figure, Section, show

from voxdata.sources.incoming import incoming, originals
from voxdata.store.storage import open_storage

CPU_PHOTOS, CPU_HOSTS, CPU_CONNECTIONS = 3000, 4, 32
SLOW_PHOTOS, SLOW_HOSTS, SLOW_CONNECTIONS, LATENCY_S = 2400, 100, 64, 0.2
ROUND_TRIPS = Behaviour(latency_s=LATENCY_S, handshake_s=LATENCY_S)
LISTED, LISTED_HOSTS = 2_000_000, 20_000
KILLS = 20
HOUR_S = 24.0  # of the dead host: its rests are shortened as much


def throughput(served: Served, folder: Path, other: str | None, repeats: int) -> Section:
    """Photos a second and peak memory, ours and img2dataset's in turn."""
    figures, rows = [], []
    parts = [
        ("CPU-bound", Behaviour(), CPU_PHOTOS, CPU_HOSTS, CPU_CONNECTIONS, 2.0),
        ("200 ms latency, 100 hosts", Behaviour(latency_s=LATENCY_S), SLOW_PHOTOS, SLOW_HOSTS, SLOW_CONNECTIONS, 1.2),
        ("200 ms round trips, 100 hosts", ROUND_TRIPS, SLOW_PHOTOS, SLOW_HOSTS, SLOW_CONNECTIONS, 1.2),
    ]
    for name, behaviour, photos, hosts, connections, must in parts:
        urls = write_urls(folder / "urls.csv", served.port, photos, hosts, net=3)
        ours, theirs = [], []
        for _ in range(repeats):
            served.behave(behaviour)
            per_host = max(4, min(32, connections // hosts))
            memory = child(urls, folder / "root", f"connections={connections}", f"connections_per_host={per_host}")
            ours.append((_speed(served.take()), memory))
            if other is not None:
                served.behave(behaviour)
                memory = img2dataset(other, urls, folder / "out", connections)
                theirs.append((_speed(served.take()), memory))
        speed, memory = (statistics.median(each[n] for each in ours) for n in (0, 1))
        row = {"run": name, "connections": connections, "photos": photos, "ours, photos/s": speed, "ours, MB": memory}
        if theirs:
            their_speed, their_memory = (statistics.median(each[n] for each in theirs) for n in (0, 1))
            row |= {"img2dataset, photos/s": their_speed, "img2dataset, MB": their_memory}
            figures += [
                Figure(name=f"{name}: times img2dataset", value=speed / their_speed, n=repeats, must=must, higher=True),
                Figure(
                    name=f"{name}: memory, share of img2dataset's", value=memory / their_memory, n=repeats, must=1.0
                ),
            ]
        if behaviour.latency_s:
            bound = connections / behaviour.latency_s
            row |= {"all that the connections can bring, photos/s": bound}
            if behaviour.handshake_s:
                anew = connections / (behaviour.latency_s + behaviour.handshake_s)
                row |= {"all that a new connection for each photo can bring, photos/s": anew}
            figures.append(
                Figure(
                    name=f"{name}: share of what the connections can bring", value=speed / bound, n=repeats, higher=True
                )
            )
        rows.append(row)
    return Section(title="Throughput", figures=figures, tables={"Medians": rows}, notes=[_load()])


def two_million(folder: Path) -> Section:
    """From nothing to the first request of a list of two million urls, and the peak of memory."""
    urls = folder / "many.csv"
    with urls.open("w") as file:
        file.write("name,url\n")
        for number in range(LISTED):
            file.write(
                f"person {number // 300},http://h{number % LISTED_HOSTS}.photos.example/{number // 7}/{number}.jpg\n"
            )
    done = run_python("--start", str(urls), str(folder / "many-root"))
    seconds, peak, total = (float(word) for word in done.split())
    assert total == LISTED
    return Section(
        title="A list of 2,000,000 urls",
        figures=[
            Figure(name="to the first request, s", value=seconds, n=1, must=30),
            Figure(name="peak memory, MB", value=peak, n=1, must=500),
        ],
        notes=[f"{LISTED_HOSTS:,} hosts, {LISTED // 300:,} people.", _load()],
    )


def politeness(served: Served, folder: Path) -> Section:
    """What the server saw of a crawl that must keep two connections, a pause, and Retry-After."""
    delay_s, wait_s, hosts, connections = 0.1, 2, 6, 2
    urls = write_urls(folder / "urls.csv", served.port, 240, hosts, net=4)
    busy = Behaviour(latency_s=0.15, busy_every=15, retry_after_s=wait_s)
    served.behave(Behaviour(latency_s=0.15), {f"127.0.4.{n}": busy for n in (1, 2)})
    child(urls, folder / "polite", f"delay_s={delay_s}", f"connections_per_host={connections}")
    seen = served.take()
    by_host: dict[str, list[Seen]] = defaultdict(list)
    for each in seen:
        by_host[each.host].append(each)
    crowded = sum(_under_way(each, host) > connections for host in by_host.values() for each in host)
    gaps = [after.began - before.began for host in by_host.values() for before, after in pairwise(host)]
    early = sum(
        busy_one.ended + 0.02 < later.began < busy_one.ended + wait_s - 0.02
        for host in by_host.values()
        for busy_one in host
        if busy_one.status == 429
        for later in host
    )
    photos = sum(each.status == 200 and each.path.endswith(".jpg") for each in seen)
    return Section(
        title="Politeness, as the server sees it",
        figures=[
            Figure(name="more than 2 requests under way at a host", value=crowded, n=len(seen), must=0),
            Figure(
                name="pauses below 0.1 s by more than 20 ms",
                value=sum(gap < delay_s - 0.02 for gap in gaps),
                n=len(gaps),
                must=0,
            ),
            Figure(name="requests while Retry-After runs", value=early, n=len(seen), must=0),
            Figure(name="photos that came, of 240", value=photos, n=240, must=240, higher=True),
        ],
        notes=[f"Shortest pause: {min(gaps) * 1000:.0f} ms.", _load()],
    )


def bandwidth(served: Served, folder: Path) -> Section:
    """What two hosts sent that may send so many Mbit/s, in the 10 s in which they sent most."""
    most, window_s, size = 4.0, 10.0, 100_000
    urls = write_urls(folder / "urls.csv", served.port, 300, 2, net=8)
    served.behave(Behaviour(photo_bytes=size))
    child(urls, folder / "slow", f"mbit_per_s={most}", "connections_per_host=8")
    seen = [each for each in served.take() if each.status == 200]
    found = []
    for host in {each.host for each in seen}:
        sent = [(each.ended, each.sent * 8 / 1e6) for each in seen if each.host == host]
        found += [sum(size for at, size in sent if began <= at < began + window_s) / window_s for began, _ in sent]
    return Section(
        title="Bandwidth, as the server sees it",
        figures=[
            Figure(name=f"Mbit/s in the busiest 10 s, of {most:g}", value=max(found), n=len(seen), must=most),
            Figure(name="photos that came, of 300", value=len(seen), n=300, must=300, higher=True),
        ],
    )


def dead_host(served: Served, folder: Path) -> Section:
    """A host that fails for an hour: how often it is asked, and what the others lose by it."""
    seconds = []
    asked = 0
    for fails in (False, True):
        urls = write_urls(folder / "urls.csv", served.port, 2000, 5 if fails else 4, net=5, more=1600)
        served.behave(Behaviour(latency_s=0.2), {"127.0.5.5": Behaviour(fails=True)} if fails else {})
        child(
            urls,
            folder / f"dead-{fails}",
            "connections=32",
            "connections_per_host=4",
            "max_wait_s=0",
            "first_rest_s=" + str(60 * HOUR_S / 3600),
            "longest_rest_s=" + str(HOUR_S),
        )
        seen = served.take()
        alive = [each for each in seen if each.host != "127.0.5.5" and each.path.endswith(".jpg")]
        seconds.append(alive[-1].ended - alive[0].began)
        asked = len(seen) - len([each for each in seen if each.host != "127.0.5.5"])
    lost = 100 * (seconds[1] / seconds[0] - 1)
    return Section(
        title="A dead host for an hour",
        figures=[
            Figure(name="requests to it", value=asked, n=1, must=20),
            Figure(name="time that the others lose, %", value=lost, n=1, must=5),
        ],
        notes=[
            f"An hour lasts {HOUR_S:.0f} s here; its rests are shortened as much. The others took {seconds[1]:.1f} s.",
            _load(),
        ],
    )


def kills(served: Served, folder: Path, seed: int) -> Section:
    """kill -9 at random moments and the same command again, until all is there."""
    rng = random.Random(seed)
    photos, rate = 4000, 16 / 0.1
    urls = write_urls(folder / "urls.csv", served.port, photos, 8, net=6)
    served.behave(Behaviour(latency_s=0.1))
    root = folder / "killed"
    command = command_of("--child", str(urls), str(root), "connections=16", "connections_per_host=2")
    for _ in range(KILLS):
        before = served.count()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while served.count() == before and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(rng.uniform(0.0, 3.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    child(urls, root, "connections=32", "connections_per_host=4")
    asked = Counter(each.host + each.path for each in served.take() if each.path.endswith(".jpg"))
    storage = open_storage(root)
    tables = [store.read(columns=["item_id"]) for store in (originals(storage), incoming(storage))]
    items = [item for table in tables if table is not None for item in table["item_id"].to_pylist()]
    again = sum(asked.values()) - len(asked)
    return Section(
        title=f"kill -9 at {KILLS} random moments",
        figures=[
            Figure(name="photos that are missing", value=photos - len(set(items)), n=photos, must=0),
            Figure(name="photos stored twice", value=len(items) - len(set(items)), n=photos, must=0),
            Figure(name="fetched again, for each kill", value=again / KILLS, n=KILLS, must=16 + 5 * rate),
        ],
        notes=["The limit is the requests under way and what comes in 5 s.", _load()],
    )


def unchanged(served: Served, folder: Path) -> Section:
    """The same crawl twice more: without and with asking whether photos have changed."""
    urls = write_urls(folder / "urls.csv", served.port, 500, 5, net=7)
    served.behave(Behaviour())
    child(urls, folder / "same", "connections=16")
    served.take()
    child(urls, folder / "same", "connections=16")
    skipped = served.take()
    child(urls, folder / "same", "connections=16", "stored_days=0.0")
    asked = [each for each in served.take() if each.path.endswith(".jpg")]
    return Section(
        title="An unchanged rerun",
        figures=[
            Figure(name="requests without asking for changes", value=len(skipped), n=500, must=0),
            Figure(
                name="bodies sent when asked for changes",
                value=sum(each.status != 304 for each in asked),
                n=len(asked),
                must=0,
            ),
        ],
    )


def _under_way(one: Seen, host: Sequence[Seen]) -> int:
    """Requests of a host that were under way when this one began."""
    return sum(each.began <= one.began < each.ended for each in host)


def _speed(seen: Sequence[Seen]) -> float:
    photos = [each for each in seen if each.path.endswith(".jpg") and each.status == 200]
    return (len(photos) - 1) / (max(each.ended for each in photos) - photos[0].began)


def _load() -> str:
    return f"Load average of the machine then: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."


def main() -> None:
    """Run the parts, print them, and write them with `--result`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--img2dataset", help="python of an environment that has it")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--result", help="write benchmarks/results/<result>.json")
    options = parser.parse_args()
    served = Served()
    with tempfile.TemporaryDirectory(prefix="crawl-") as name:
        folder = Path(name)
        parts: dict[str, Callable[[], Section]] = {
            "throughput": lambda: throughput(served, folder, options.img2dataset, options.repeats),
            "list": lambda: two_million(folder),
            "polite": lambda: politeness(served, folder),
            "bandwidth": lambda: bandwidth(served, folder),
            "dead": lambda: dead_host(served, folder),
            "kills": lambda: kills(served, folder, options.seed),
            "unchanged": lambda: unchanged(served, folder),
        }
        try:
            show([part() for key, part in parts.items() if not options.only or key in options.only], options.result)
        finally:
            served.close()


if __name__ == "__main__":
    main()
