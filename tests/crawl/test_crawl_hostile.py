"""Servers that answer as no server should: each ends as a row, in time, and nothing forbidden is connected to."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.crawl.hostile import TIMEOUT_S, Server
from tests.crawl.hostile_cases import cases
from tests.crawl.serving import attempts
from voxdata.store.fragments import parquet_table
from voxdata.store.storage import LocalStorage, open_storage

CASES = cases()
RSS_MB = 300
CRAWLING = """
import pathlib, sys, time
from tests.crawl.url_list import UrlList, url_lists
from voxdata.people.identities import load_book
from voxdata.recipe.sections import Crawl
from voxdata.sources.originals import PhotoStore
from voxdata.store.storage import open_storage
root, urls, timeout_s = sys.argv[1:]
crawl = Crawl(
    private_addresses=["127.0.1.0/24"], contact="mailto:us@lab.example", retries=0, timeout_s=float(timeout_s),
    max_file_mb=0.2, max_wait_s=0.5,
)
with url_lists(), PhotoStore(open_storage(root, create=True), load_book([]), crawl) as store:
    store.add(UrlList(path=urls), "corpus-0", "sources.photos")
    began = time.monotonic()
    store.fetch()
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    print(time.monotonic() - began, int(status["VmHWM"].split()[0]) / 1024)  # ru_maxrss counts whoever forked us, too
    store.manifest()
"""


class Crawled:
    """What one crawl of all cases left."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(CASES)
        urls = folder / "urls"
        lines = [f"{case.name}\t{self.server.url(address)}\n" for address, case in self.server.addresses.items()]
        urls.write_text("".join(lines))
        self.began = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", CRAWLING, str(folder / "root"), str(urls), str(TIMEOUT_S)],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        finally:
            self.server.close()
        self.error, self.status = done.stderr, done.returncode
        self.seconds, self.rss_mb = (float(word) for word in done.stdout.split()) if done.stdout else (0.0, 0.0)
        storage = open_storage(folder / "root")
        assert isinstance(storage, LocalStorage)
        self.storage = storage
        self.rows = attempts(storage)

    def of(self, name: str) -> list[dict[str, Any]]:
        """The attempts at the photo of a case, oldest first."""
        return [row for row in self.rows if row["identity"] == name]


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Crawled:
    return Crawled(tmp_path_factory.mktemp("hostile"))


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 100


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_it_ends_as_a_row(crawled: Crawled, name: str) -> None:
    case = next(each for each in CASES if each.name == name)
    settled = crawled.of(name)
    ended = settled[-1]["status"] if settled else "waits"
    assert ended in case.ends, (ended, settled[-1]["detail"] if settled else None)


def test_no_exception_ends_a_crawl(crawled: Crawled) -> None:
    assert (crawled.status, "Traceback" in crawled.error) == (0, False), crawled.error


def test_nothing_forbidden_was_connected_to(crawled: Crawled) -> None:
    assert crawled.server.forbidden == 0


def test_no_request_takes_longer_than_its_limit_and_a_second(crawled: Crawled) -> None:
    assert max(row["duration_s"] or 0.0 for row in crawled.rows) <= TIMEOUT_S + 1


def test_memory_stays_small(crawled: Crawled) -> None:
    assert 0 < crawled.rss_mb <= RSS_MB


def test_a_signed_url_is_sent_as_it_is_written(crawled: Crawled) -> None:
    assert "/photo.jpg?sig=a%2Cb%2Fc&x=,y" in [path for _, path in crawled.server.asked]


def test_all_text_is_utf_8_and_the_log_opens_again(crawled: Crawled) -> None:
    texts = [text for row in crawled.rows for text in row.values() if isinstance(text, str)]
    assert texts
    assert not [text for text in texts if re.search("[\ud800-\udfff]", text)]


def test_what_owners_said_is_told(crawled: Crawled) -> None:
    said = {
        name: crawled.of(name)[-1]["opt_out"] for name in ("noai", "none", "tdm-header", "tdmrep", "content-signal")
    }
    assert said == {
        "noai": "X-Robots-Tag: noai",
        "none": "X-Robots-Tag: noindex",
        "tdm-header": "tdm-reservation: 1",
        "tdmrep": "tdmrep.json: /*",
        "content-signal": "content-signal: ai-train=no",
    }


def test_hosts_that_wait_are_remembered(crawled: Crawled) -> None:
    (key,) = crawled.storage.keys("photos/hosts")
    rests = {
        row["host"]: row["why"] for row in parquet_table(crawled.storage.read(key)).to_pylist() if row["rests_until_s"]
    }
    waiting = [
        f"http://{address}:{crawled.server.port}"
        for address, case in crawled.server.addresses.items()
        if case.ends == ("waits",)
    ]
    assert waiting
    assert set(waiting) <= set(rests)
