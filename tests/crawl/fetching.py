"""Fetching a list of urls into a root, at once and from this machine."""

from __future__ import annotations

import pyarrow as pa

from tests.crawl.url_list import UrlList
from voxdata.people.identities import load_book
from voxdata.recipe.sections import Crawl
from voxdata.sources.fetching import Figures
from voxdata.sources.originals import PhotoStore
from voxdata.store.storage import LocalStorage

LOOPBACK = ["127.0.0.0/8"]


def settings_of(**settings: object) -> Crawl:
    usual = {"backoff_s": 0.01, "max_wait_s": 2.0, "private_addresses": LOOPBACK, "timeout_s": 5.0}
    return Crawl.model_validate({**usual, **settings})


def fetch(
    storage: LocalStorage, urls: list[tuple[str, str]], seen: list[Figures] | None = None, **settings: object
) -> pa.Table:
    """Fetch (person, url) of a list; returns the manifest."""
    path = storage.path.parent / "urls"
    path.write_text("".join(f"{person}\t{url}\n" for person, url in urls))
    with PhotoStore(storage, load_book([]), settings_of(**settings)) as store:
        store.add(UrlList(path=str(path)), "corpus-0", "sources.photos")
        figures = store.fetch()
        if seen is not None:
            seen.append(figures)
        return store.manifest()
