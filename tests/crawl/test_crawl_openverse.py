"""The source `openverse` against a server that answers as the service documents it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from tests.crawl.finding import ANN, KEY, asked, found, source
from tests.crawl.loopback import serve
from voxdata.format.errors import SourceError
from voxdata.sources.kinds import Person, PhotoUrl
from voxdata.sources.naming import photo_kind

OPENVERSE = {"kind": "openverse", "requests_per_minute": 60_000}


def openverse_result(number: int) -> dict[str, Any]:
    """One of `results` (Openverse's API reference, image search)."""
    return {
        "id": f"{number:032x}",
        "title": "Ann Lee",
        "foreign_landing_url": f"https://www.flickr.com/photos/jo/{number}",
        "url": f"https://live.staticflickr.com/{number}_b.jpg",
        "creator": "Jo",
        "creator_url": "https://www.flickr.com/photos/jo",
        "license": ("by-sa", "cc0", "pdm")[number % 3],
        "license_version": ("2.0", "1.0", "1.0")[number % 3],
        "license_url": None if number % 3 else "https://creativecommons.org/licenses/by-sa/2.0/",
        "provider": "flickr",
        "attribution": '"Ann Lee" by Jo is licensed under CC BY-SA 2.0.',
        "fields_matched": ["title"],
        "mature": False,
    }


def openverse(total: int, *faults: web.Response) -> Callable[[web.Request], Any]:
    """The image search with so many results, anonymous or with the token `KEY`."""
    waiting = list(faults)

    async def answer(request: web.Request) -> web.Response:
        if waiting:
            return waiting.pop(0)
        page, size = int(request.query["page"]), int(request.query["page_size"])
        token = request.headers.get("Authorization")
        if token not in (None, f"Bearer {KEY}"):
            return web.json_response({"detail": "Authentication credentials were not provided."}, status=401)
        if token is None and size > 20:
            return web.json_response({"detail": "Ensure this value is less than or equal to 20."}, status=401)
        results = [openverse_result(number) for number in range(total)][(page - 1) * size : page * size]
        counts = {"result_count": total, "page_count": -(-total // size), "page_size": size, "page": page}
        return web.json_response({**counts, "results": results})

    return answer


def test_openverse_says_licence_author_and_attribution_page_by_page() -> None:
    with serve(openverse(45)) as server:
        settings = source(**OPENVERSE, api_url=f"{server.url}/v1/images/", parameters={"license_type": "modification"})
        pages = asked(settings, ANN)
        assert [len(page.offers) for page in pages] == [20, 20, 5]
        assert [page.cursor for page in pages] == ["2", "3", None]
        assert asked(settings, ANN, cursor="3") == pages[2:]
        queries = server.queries("/v1/images/")
    assert queries[0] == {"q": '"Ann Annie Lee"', "page": "1", "page_size": "20", "license_type": "modification"}
    assert [query["page"] for query in queries] == ["1", "2", "3", "3"]
    assert "Authorization" not in server.requests[0].headers
    first, second, third = pages[0].offers[:3]
    assert first == PhotoUrl(
        words="id10001",
        key="https://live.staticflickr.com/0_b.jpg",
        url="https://live.staticflickr.com/0_b.jpg",
        licence="CC-BY-SA-2.0",
        licence_url="https://creativecommons.org/licenses/by-sa/2.0/",
        author="Jo",
        attribution='"Ann Lee" by Jo is licensed under CC BY-SA 2.0.',
        page_url="https://www.flickr.com/photos/jo/0",
        rank=0,
    )
    assert (second.licence, third.licence) == ("CC0-1.0", "CC-PDM-1.0")
    assert [offer.rank for page in pages for offer in page.offers] == list(range(45))


def test_openverse_gives_more_to_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(openverse(45)) as server:
        registered = {**OPENVERSE, "api_url": f"{server.url}/", "key_env": "OPENVERSE_TOKEN", "page_size": 40}
        monkeypatch.setenv("OPENVERSE_TOKEN", KEY)
        assert [len(page.offers) for page in asked(source(**registered), ANN)] == [40, 5]
        assert len(asked(source(**registered, max_pages=1), ANN)) == 1
        monkeypatch.setenv("OPENVERSE_TOKEN", "old")
        with pytest.raises(SourceError, match=r"refuses to answer \(status 401\); look at the key in OPENVERSE_TOKEN"):
            asked(source(**registered), ANN)
        monkeypatch.delenv("OPENVERSE_TOKEN")
        with pytest.raises(
            SourceError, match=r"sources\.photos\.key_env=OPENVERSE_TOKEN: .*run: export OPENVERSE_TOKEN"
        ):
            photo_kind(source(**registered), "sources.photos").check(source(**registered), "sources.photos")


class Registered:
    """Openverse with its token endpoint (its API reference, Authentication): form in, a token of some hours out."""

    def __init__(self, expires_in: int = 43_200) -> None:
        self.expires_in = expires_in
        self.forms: list[dict[str, str]] = []
        self.withdrawn: set[str] = set()

    async def __call__(self, request: web.Request) -> web.Response:
        if request.path == "/v1/auth_tokens/token/":
            form = {name: str(value) for name, value in (await request.post()).items()}
            self.forms.append(form)
            right = {"grant_type": "client_credentials", "client_id": "me", "client_secret": KEY}
            if request.method != "POST" or form != right:
                return web.json_response({"error": "invalid_client"}, status=401)
            token = {"access_token": f"t{len(self.forms)}", "token_type": "Bearer", "scope": "read write"}
            return web.json_response({**token, "expires_in": self.expires_in})
        if request.headers.get("Authorization") in {None, *self.withdrawn}:
            return web.json_response({"detail": "Authentication credentials were not provided."}, status=401)
        page, size = int(request.query["page"]), int(request.query["page_size"])
        results = [openverse_result(number) for number in range(90)][(page - 1) * size : page * size]
        return web.json_response({"result_count": 90, "page_count": -(-90 // size), "results": results})


def test_openverse_fetches_tokens_for_a_registered_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT", "me")
    monkeypatch.setenv("SECRET", KEY)
    names = {"client_id_env": "CLIENT", "client_secret_env": "SECRET"}
    for service, tokens in (
        (Registered(), 1),
        (Registered(expires_in=30), 3),
    ):  # one that is about to expire is renewed
        with serve(service) as server:
            registered = source(**OPENVERSE, **names, api_url=f"{server.url}/v1/images/", page_size=40)
            assert [len(page.offers) for page in asked(registered, ANN)] == [40, 40, 10]
            sent = [each.headers.get("Authorization") for each in server.requests if each.path == "/v1/images/"]
        assert sent == ([f"Bearer t{n}" for n in (1, 2, 3)] if tokens == 3 else ["Bearer t1"] * 3)
        assert len(service.forms) == tokens


def test_openverse_says_what_is_wrong_with_a_registration(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CLIENT", "me")
    monkeypatch.setenv("SECRET", KEY)
    service = Registered()
    service.withdrawn = {"Bearer t1"}
    with serve(service) as server:
        names = {"client_id_env": "CLIENT", "client_secret_env": "SECRET", "api_url": f"{server.url}/v1/images/"}
        assert len(asked(source(**OPENVERSE, **names), ANN, only_first=True)[0].offers) == 20
        assert len(service.forms) == 2
        monkeypatch.setenv("SECRET", "s3cret-of-another")
        with pytest.raises(SourceError, match=r"refuses the client \(status 401\).* CLIENT .* SECRET") as refused:
            asked(source(**OPENVERSE, **names), ANN)
    assert "s3cret" not in f"{refused.value}{caplog.text}"
    monkeypatch.delenv("SECRET")
    with pytest.raises(SourceError, match=r"client_secret_env=SECRET: .*export SECRET"):
        photo_kind(source(**OPENVERSE, **names), "sources.photos").check(source(**OPENVERSE, **names), "sources.photos")


def test_openverse_is_waited_for_and_what_is_empty_is_nothing(caplog: pytest.LogCaptureFixture) -> None:
    throttled = web.json_response({"detail": "Request was throttled."}, status=429, headers={"Retry-After": "1"})
    with serve(openverse(3, throttled)) as server:
        assert len(found(source(**OPENVERSE, api_url=f"{server.url}/"), [ANN])) == 3
        assert len(server.requests) == 2
    with serve(openverse(0)) as server:
        assert found(source(**OPENVERSE, api_url=f"{server.url}/"), [ANN]) == []
    broken = [web.json_response({"detail": {"q": ["too long"]}}, status=400), web.json_response({"results": None})]
    with serve(openverse(1, *broken)) as server, caplog.at_level(logging.WARNING):
        people = [ANN, Person(identity="b", name="Bo"), Person(identity="c", name="Cy")]
        offers = found(source(**OPENVERSE, api_url=f"{server.url}/"), people)
    assert [offer.words for offer in offers] == ["c"]
    assert "2 of 3 people were not answered for" in caplog.text
