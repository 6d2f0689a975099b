"""Ctrl-C and SIGTERM amid a crawl, in real processes: one line, and what was answered is not asked again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.crawl.loopback import serve
from tests.crawl.serving import attempts, photo
from tests.crawl.test_crawl_openverse import openverse_result
from tests.flows.deployed import Api
from voxdata.sources.incoming import incoming, originals
from voxdata.store.fragments import parquet_table
from voxdata.store.storage import LocalStorage, open_storage

pytestmark = pytest.mark.long

PHOTOS, ANSWERED, AT_ONCE = 24, 10, 2
PEOPLE = ("Ann Lee", "Bob Ray", "Cyd Fox", "Dee Orr", "Eve Poe")
LINE = "voxdata crawl: interrupted; what was committed stays, the same command resumes there\n"
COMMAND = (sys.executable, "-m", "flows.cli")
HANGS_AFTER_S = 60  # not a speed: whoever is told to end and waits for an answer waits for ever here
REACHED_WITHIN_S = 240


@dataclass
class Gated:
    """A server that answers a number of requests, and then lets everybody wait until it is opened."""

    left: int
    url: str = ""
    asked: list[str] = field(default_factory=list)
    open: bool = False

    async def turn(self, what: str) -> None:
        """Wait until this may be answered."""
        self.asked.append(what)
        self.left -= 1
        held = self.left < 0
        while held and not self.open:
            await asyncio.sleep(0.02)

    def wait_for(self, count: int, process: subprocess.Popen[bytes], log: Path) -> None:
        """Until so many requests have come."""
        until = time.monotonic() + REACHED_WITHIN_S
        while len(self.asked) < count:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.02)


@contextmanager
def gated(left: int, answer: Callable[[Gated, web.Request], Any]) -> Iterator[Gated]:
    gate = Gated(left)
    with serve(lambda request: answer(gate, request)) as server:
        gate.url = server.url
        yield gate
        gate.open = True


async def a_photo(gate: Gated, request: web.Request) -> web.Response:
    await gate.turn(request.path)
    return web.Response(body=photo(request.path))


async def a_page(gate: Gated, request: web.Request) -> web.Response:
    if not request.path.startswith("/v1"):
        return web.Response(status=404)
    await gate.turn(request.query["q"])
    results = [{**openverse_result(n), "url": f"{gate.url}/{request.query['q'][1:4]}/{n}.jpg"} for n in range(3)]
    return web.json_response({"result_count": 3, "page_count": 1, "page_size": 20, "page": 1, "results": results})


def command(folder: Path, *settings: str) -> list[str]:
    """`voxdata crawl run` with settings."""
    pairs = [part for pair in settings for part in ("--set", pair)]
    return [*COMMAND, "crawl", "run", "hq-voxceleb-automatic", "--root", str(folder / "root"), *pairs]


def from_list(folder: Path, url: str) -> list[str]:
    """The command for a list of photos, some at once."""
    lines = [f"ann{n % 3},{url}/{n}.jpg" for n in range(PHOTOS)]
    (folder / "list.csv").write_text("\n".join(["identity,url", *lines]) + "\n")
    where = (
        "sources.photos.kind=list",
        f"sources.photos.path={folder / 'list.csv'}",
        "crawl.contact=mailto:me@here.org",
    )
    return command(folder, *where, f"crawl.connections_per_host={AT_ONCE}", "crawl.private_addresses=[127.0.0.0/8]")


def from_search(folder: Path, url: str) -> list[str]:
    """The command for a search by name."""
    rows = [f"id1000{n}\t{name.replace(' ', '_')}\tf\tUSA\tdev" for n, name in enumerate(PEOPLE)]
    meta = "\n".join(["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet", *rows]) + "\n"
    (folder / "vox1_meta.csv").write_text(meta)
    return command(
        folder,
        "sources.photos.kind=openverse",
        f"sources.photos.api_url={url}/v1/images/",
        "sources.photos.requests_per_minute=60000",
        f"sources.metadata.path={folder / 'vox1_meta.csv'}",
        "crawl.contact=mailto:me@here.org",
        "crawl.private_addresses=[127.0.0.0/8]",
        "crawl.retries=0",
    )


@contextmanager
def started(words: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as said:
        process = subprocess.Popen(
            words,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def stop(process: subprocess.Popen[bytes], signals: Sequence[signal.Signals], log: Path) -> str:
    """What a process says after it was told to end."""
    before = len(log.read_text())
    for number in signals:
        os.kill(process.pid, number)
        time.sleep(0.1)
    assert process.wait(HANGS_AFTER_S) == 130
    return log.read_text()[before:]


def wait_for_progress(api: Api, beginning: str) -> None:
    """Until the artifact of a flow run says so."""
    until = time.monotonic() + REACHED_WITHIN_S
    wanted = {"artifacts": {"key": {"any_": ["crawl-fetch"]}}, "sort": "CREATED_DESC", "limit": 1}
    while not any(each["description"].startswith(beginning) for each in api.ask("POST", "artifacts/filter", wanted)):
        assert time.monotonic() < until, api.ask("POST", "artifacts/filter", wanted)
        time.sleep(0.5)


def finish(words: Sequence[str], environment: dict[str, str], log: Path) -> None:
    with started(words, environment, log) as process:
        assert process.wait(REACHED_WITHIN_S) == 0, log.read_text()


def found(storage: LocalStorage) -> list[str]:
    """Whom each candidate shows."""
    tables = [parquet_table(storage.read(key)) for key in storage.keys("photos/candidates")]
    rows = [row for table in tables for row in table.to_pylist()]
    return [row["identity"] for row in rows if row["source_path"] is not None]


def stored(storage: LocalStorage) -> int:
    return len(originals(storage).done() | incoming(storage).done())


def root(folder: Path) -> LocalStorage:
    storage = open_storage(folder / "root")
    assert isinstance(storage, LocalStorage)
    return storage


@pytest.mark.parametrize("signals", [[signal.SIGTERM] * 2, [signal.SIGINT], [signal.SIGINT] * 2])
def test_a_crawl_that_is_stopped_while_it_fetches_goes_on(
    signals: list[signal.Signals], plain_environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "said"
    with gated(ANSWERED, a_photo) as gate:
        words = from_list(tmp_path, gate.url)
        with started(words, plain_environment, log) as process:
            gate.wait_for(ANSWERED + AT_ONCE, process, log)
            assert stop(process, signals, log) == LINE
        first = gate.asked[:ANSWERED]
        if signals[0] == signal.SIGTERM:
            assert stored(root(tmp_path)) == ANSWERED
            assert sum(row["status"] == "stored" for row in attempts(root(tmp_path))) == ANSWERED
        gate.open = True
        finish(words, plain_environment, log)
    assert stored(root(tmp_path)) == PHOTOS
    if signals[0] == signal.SIGTERM:
        assert all(gate.asked.count(each) == 1 for each in first)
    assert incoming(root(tmp_path)).done() == set()


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT] * 2])
def test_a_crawl_that_is_stopped_while_it_finds_goes_on(
    signals: list[signal.Signals], plain_environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "said"
    with gated(3, a_page) as gate:
        words = from_search(tmp_path, gate.url)
        with started(words, plain_environment, log) as process:
            gate.wait_for(4, process, log)
            assert stop(process, signals, log) == LINE
        first = gate.asked[:3]
        if signals[0] == signal.SIGTERM:
            assert Counter(found(root(tmp_path))) == {f"id1000{n}": 3 for n in range(3)}
        gate.open = True
        finish(words, plain_environment, log)
    if signals[0] == signal.SIGTERM:
        assert not set(first) & set(gate.asked[4:])


def test_a_flow_run_that_is_terminated_commits_what_it_has(prefect_environment: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "said"
    with gated(ANSWERED, a_photo) as gate:
        words = from_list(tmp_path, gate.url)
        api = Api(prefect_environment["PREFECT_API_URL"], prefect_environment)
        program = f"from flows.crawl import crawl\ncrawl({str(tmp_path / 'root')!r}, {words[5]!r}, {words[9::2]!r})\n"
        with started([sys.executable, "-c", program], prefect_environment, log) as process:
            gate.wait_for(ANSWERED + AT_ONCE, process, log)
            wait_for_progress(api, f"{ANSWERED} of {PHOTOS} photos, ")  # while it runs, not when it has ended
            process.send_signal(signal.SIGTERM)
            assert process.wait(HANGS_AFTER_S) == -signal.SIGTERM, log.read_text()
        assert stored(root(tmp_path)) == ANSWERED
        first = gate.asked[:ANSWERED]
        gate.open = True
        finish(words, prefect_environment, log)
    assert stored(root(tmp_path)) == PHOTOS
    assert all(gate.asked.count(each) == 1 for each in first)
