"""The simulated site serves what a corpus holds, with the obstacles that it promises."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.robotparser import RobotFileParser

import pytest

from voxdata.format.errors import SourceError
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.simulate.site import Site, start_site

SETTINGS = CorpusSettings(people=3, photos_per_person=8, clips_per_person=0, photo_px=128, html=0.2, seed=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_corpus(folder, SETTINGS)
    return folder


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    with start_site(folder) as running:
        yield running


def get(url: str) -> tuple[str, bytes, str]:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return reply.url, reply.read(), reply.headers["Content-Type"]


def links(url: str) -> list[str]:
    return re.findall(r'<a href="([^"]+)"', get(url)[1].decode())


def status_of(url: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as failure:
        get(url)
    with failure.value as error:
        return error.code


def test_every_photo_is_reached_from_the_start_page(site: Site, folder: Path) -> None:
    fetched, final_urls = {}, []
    for page in links(f"{site.url}/"):
        for link in links(site.url + page):
            if link.startswith("/private/") or link.endswith("gone.jpg"):
                continue
            final, data, media_type = get(site.url + link)
            assert media_type == "image/jpeg"
            fetched[final.removeprefix(site.url)[1:]] = data
            final_urls.append((link, final.removeprefix(site.url)))
    on_disk = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob("photos/*/*.jpg")}
    assert fetched == on_disk
    redirected = [link for link, final in final_urls if link != final]
    assert 0 < len(redirected) < len(final_urls)
    assert all(link.startswith("/moved/") for link in redirected)


def test_gone_and_private_links(site: Site) -> None:
    page = links(f"{site.url}/people/id90001")
    gone = next(link for link in page if link.endswith("gone.jpg"))
    private = next(link for link in page if link.startswith("/private/"))
    assert status_of(site.url + gone) == 404
    assert status_of(site.url + private) == 403
    robots = RobotFileParser(f"{site.url}/robots.txt")
    robots.read()
    assert not robots.can_fetch("voxdata", site.url + private)
    assert robots.can_fetch("voxdata", f"{site.url}/photos/id90001/00.jpg")
    assert get(f"{site.url}/sitemap.txt")[1].decode().split() == [f"{site.url}{page}" for page in links(f"{site.url}/")]


@pytest.mark.parametrize("path", ["/truth.parquet", "/photos/id90001/..%2F..%2Ftruth.parquet", "/people/nobody"])
def test_nothing_else_is_served(site: Site, path: str) -> None:
    assert status_of(site.url + path) == 404


def test_requests_are_recorded_and_the_port_is_freed(folder: Path) -> None:
    with start_site(folder) as site:
        get(f"{site.url}/people/id90002")
        assert site.requests == ["/people/id90002"]
        port = int(site.url.rpartition(":")[2])
        with pytest.raises(SourceError, match=f"port {port}"):
            start_site(folder, port)
    site.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no photos under"):
        start_site(tmp_path)
