"""kill -9 in the middle of a crawl: nothing is stored twice, and little is asked again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from aiohttp import web

from tests.crawl.serving import (
    Handler,
    attempts,
    crawl,
    page,
    photo,
    serving,
)
from voxdata.sources.incoming import incoming
from voxdata.sources.originals import originals
from voxdata.store.storage import LocalStorage

CRAWLING = """
import sys
from voxdata.people.identities import load_book
from voxdata.sources import fetching
fetching.COMMIT_S = 0.1
from voxdata.recipe.sections import Crawl
from voxdata.sources.originals import PhotoStore
from voxdata.sources.site import PhotoSite
from voxdata.store.storage import open_storage
store = PhotoStore(open_storage(sys.argv[1]), load_book([]), Crawl(connections=1))
store.add(PhotoSite(url=sys.argv[2]), "corpus-0", "sources.photos")
store.fetch()
"""


def test_a_killed_crawl_goes_on_where_it_was(storage: LocalStorage, tmp_path: Path) -> None:
    process: list[subprocess.Popen[bytes]] = []
    links = [f"/{index}.jpg" for index in range(60)]
    killed: list[int] = []

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.02)
        if len([path for path in asked if path.endswith(".jpg")]) >= 40 and process[0].poll() is None:
            killed.append(sum(row["status"] == "stored" for row in attempts(storage)))
            os.kill(process[0].pid, signal.SIGKILL)
        return web.Response(body=photo(request.path))

    routes: dict[str, Handler] = {"/": page("/p/ann", "/p/bob"), "/p/ann": page(*links[:30])}
    routes |= {"/p/bob": page(*links[30:], title="bob"), **dict.fromkeys(links, slow)}
    with serving(routes) as (url, asked):
        process.append(subprocess.Popen([sys.executable, "-c", CRAWLING, str(tmp_path / "root"), url]))
        assert process[0].wait(60) == -signal.SIGKILL
        assert killed[0] > 0, "photos are committed while others come"
        assert sorted(crawl(storage, url)["source_key"].to_pylist()) == sorted(links)
    again = sum(count - 1 for path, count in Counter(asked).items() if path.endswith(".jpg"))
    assert again <= 40 - killed[0] + 1
    items = list(originals_and_incoming(storage))
    assert len(items) == len(set(items)) == 60


def originals_and_incoming(storage: LocalStorage) -> list[str]:
    rows = [store.read(columns=["item_id"]) for store in (originals(storage), incoming(storage))]
    return [item for table in rows if table is not None for item in table["item_id"].to_pylist()]
