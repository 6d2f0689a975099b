"""The crawls that `crawl_throughput.py` measures: lists of urls, and each program in a process of its own."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from voxdata.crawl import hosts as pace
from voxdata.crawl.hosts import ApiLimits
from voxdata.people.identities import load_book
from voxdata.recipe.sections import Crawl
from voxdata.sources import photo_list
from voxdata.sources.originals import PhotoStore
from voxdata.sources.photo_list import PhotoList
from voxdata.store.storage import open_storage

IMG2DATASET = """
import sys
from img2dataset import download
urls, out, threads = sys.argv[1:]
download(url_list=urls, output_folder=out, input_format="csv", url_col="url", output_format="webdataset", timeout=30,
         resize_mode="no", disable_all_reencoding=True, processes_count=1, thread_count=int(threads), retries=0,
         number_sample_per_shard=1000, compute_hash="sha256", save_additional_columns=["name"], enable_wandb=False)
"""


def crawl_here(urls: str, root: str, *settings: str) -> None:
    """What the child process of a run does: `python crawl_child.py --child URLS ROOT key=number …`."""
    chosen = {
        key: float(value) if "." in value else int(value) for key, _, value in (s.partition("=") for s in settings)
    }
    stored_days = chosen.pop("stored_days", None)
    mbit_per_s = chosen.pop("mbit_per_s", None)
    if mbit_per_s is not None:  # as kinds of sources state it that know their hosts
        limits = {f"127.0.8.{n}": ApiLimits(connections=2, mbit_per_s=mbit_per_s) for n in (1, 2)}
        photo_list.PHOTO_LIST = replace(photo_list.PHOTO_LIST, hosts=lambda settings: limits)
    pace.FIRST_REST_S = chosen.pop("first_rest_s", pace.FIRST_REST_S)
    pace.LONGEST_REST_S = chosen.pop("longest_rest_s", pace.LONGEST_REST_S)
    crawl = Crawl.model_validate(
        {
            "private_addresses": ["127.0.0.0/8"],
            "photos_per_identity": 10**6,
            **chosen,
            "recheck": {"stored_days": stored_days},
        }
    )
    with PhotoStore(open_storage(root, create=True), load_book([]), crawl) as store:
        store.add(PhotoList(path=urls, licence="CC0"), "corpus-0", "sources.photos")
        store.fetch()


def start_here(urls: str, root: str) -> None:
    """What the child process of `two_million` does: it stops at the first request."""
    from voxdata.crawl.fetch import Fetcher

    class Asked(BaseException):
        pass

    def first(self: Fetcher, host: Any) -> Any:
        raise Asked

    Fetcher.read_rules = first  # type: ignore[method-assign]
    began = time.monotonic()
    crawl = Crawl(contact="mailto:nobody@lab.example", connections=1)
    with PhotoStore(open_storage(root, create=True), load_book([]), crawl) as store:
        store.add(PhotoList(path=urls, licence="CC0"), "corpus-0", "sources.photos")
        with suppress(Asked):
            store.fetch(lambda figures: totals.append(figures.total))
        seconds = time.monotonic() - began
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, max(totals))


totals: list[int] = [0]


def write_urls(path: Path, port: int, photos: int, hosts: int, *, net: int, more: int = 0) -> Path:
    """A list of photos over hosts `127.0.<net>.<n>`; of `more`, the first hosts but the last have these only."""
    with path.open("w") as file:
        file.write("name,url\n")
        for number in range(photos if not more or hosts == 5 else more):
            file.write(f"person {number // 40},http://127.0.{net}.{number % hosts + 1}:{port}/{number // hosts}.jpg\n")
    return path


def command_of(*words: str) -> list[str]:
    return [sys.executable, __file__, *words]


def run_python(*words: str) -> str:
    return subprocess.run(command_of(*words), check=True, capture_output=True, text=True).stdout.splitlines()[-1]


def _peak_mb(command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """Run a command; the most memory that it and its processes had together, shared pages counted once, in MB."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        most = 0
        while process.poll() is None:
            most = max(most, sum(map(_own_kb, [process.pid, *_children(process.pid)])))
            time.sleep(0.2)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(said.read().decode(errors="replace"))
    return most / 1024


def _own_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _children(pid: int) -> list[int]:
    found = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return [*found, *(below for child in found for below in _children(child))]


def child(urls: Path, root: Path, *settings: str) -> float:
    """Our crawl in a process of its own; its peak of memory in MB. A root whose name is `root` is new."""
    if root.name == "root":
        shutil.rmtree(root, ignore_errors=True)
    return _peak_mb(command_of("--child", str(urls), str(root), *settings))


def img2dataset(python: str, urls: Path, out: Path, threads: int) -> float:
    """img2dataset; its peak of memory in MB."""
    shutil.rmtree(out, ignore_errors=True)
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONWARNINGS": "ignore"}
    return _peak_mb([python, "-c", IMG2DATASET, str(urls), str(out), str(threads)], environment)


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        crawl_here(*sys.argv[2:])
    else:
        start_here(*sys.argv[2:])
