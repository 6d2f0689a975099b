"""The source `image-api` against servers that answer as the services document it, and what every search refuses."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from tests.crawl.finding import ANN, KEY, asked, source
from tests.crawl.loopback import serve
from voxdata.format.errors import RecipeError, SourceError
from voxdata.people.identities import load_book
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Crawl
from voxdata.sources.kinds import NoAnswerError, Person, PhotoUrl
from voxdata.sources.originals import PhotoStore
from voxdata.store.fragments import parquet_table
from voxdata.store.storage import Storage, open_storage

BRAVE = {
    "kind": "image-api",
    "fields": {"results": "results", "url": "properties.url", "page_url": "url", "author": "source"},
    "key_env": "BRAVE_KEY",
    "key_header": "X-Subscription-Token",
    "page_size": 100,
    "requests_per_minute": 60_000,
}
FLICKR = {
    "kind": "image-api",
    "fields": {
        "results": "photos.photo",
        "page_count": "photos.pages",
        "error": "message",
        "url": "url_l",
        "author": "ownername",
        "licence": "license",
    },
    "ok": {"stat": "ok"},
    "licence_names": {"4": "CC-BY-2.0", "0": "all-rights-reserved"},
    "key_env": "FLICKR_KEY",
    "key_parameter": "api_key",
    "page_size": 2,
    "max_pages": 9,
    "requests_per_minute": 60_000,
}


async def brave(request: web.Request) -> web.Response:
    """Brave's image search, as its documentation shows it; it has no pages."""
    if request.headers.get("X-Subscription-Token") != KEY:
        error = {"code": "SUBSCRIPTION_TOKEN_INVALID", "status": 403, "detail": "token"}
        return web.json_response({"type": "ErrorResponse", "error": error}, status=403)
    results = [
        {
            "type": "image_result",
            "title": request.query["q"],
            "url": f"https://news.example/{number}",
            "source": "news.example",
            "thumbnail": {"src": f"https://imgs.search.brave.com/{number}"},
            "properties": {"url": f"https://news.example/{number}.jpg", "placeholder": "x"},
        }
        for number in range(3)
    ]
    return web.json_response({"type": "images", "query": {"original": request.query["q"]}, "results": results})


async def flickr(request: web.Request) -> web.Response:
    """flickr.photos.search, which answers errors with status 200."""
    asked = request.query
    if request.path.endswith(".jpg"):
        return web.Response(status=404)
    if asked.get("api_key") != KEY:
        return web.json_response({"stat": "fail", "code": 100, "message": "Invalid API Key (Key not found)"})
    page, size = int(asked["page"]), int(asked["per_page"])
    photos = [
        {
            "id": str(n),
            "ownername": "Jo",
            "license": "04"[n % 2],
            **({"url_l": f"http://{request.host}/{n}.jpg"} if n else {}),
        }
        for n in range(5)
    ]
    found = {"page": page, "pages": -(-5 // size), "perpage": size, "total": 5}
    return web.json_response({"photos": {**found, "photo": photos[(page - 1) * size : page * size]}, "stat": "ok"})


def brave_at(url: str, **settings: object) -> Any:
    return source(
        **{**BRAVE, "url": f"{url}/res/v1/images/search?q={{name}}&count={{count}}&safesearch=strict", **settings}
    )


def flickr_at(url: str) -> Any:
    query = "method=flickr.photos.search&format=json&nojsoncallback=1&text=%22{name}%22&page={page}&per_page={count}"
    return source(**FLICKR, url=f"{url}/services/rest/?{query}")


def test_a_search_with_a_key_in_a_header_is_read_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAVE_KEY", KEY)
    with serve(brave) as server:
        (page,) = asked(brave_at(server.url), Person(identity="x", name="Zoë & Co"))
        assert server.queries("/res/v1/images/search") == [{"q": "Zoë & Co", "count": "100", "safesearch": "strict"}]
        assert page.offers[1] == PhotoUrl(
            words="x",
            key="https://news.example/1.jpg",
            url="https://news.example/1.jpg",
            author="news.example",
            page_url="https://news.example/1",
            rank=1,
        )
        monkeypatch.setenv("BRAVE_KEY", "other")
        with pytest.raises(SourceError, match=r"refuses to answer \(status 403\); look at the key in BRAVE_KEY"):
            asked(brave_at(server.url), ANN)


def test_a_search_with_pages_and_numbered_licences_and_errors_within_200(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLICKR_KEY", KEY)
    with serve(flickr) as server:
        pages = asked(flickr_at(server.url), Person(identity="x", name="Ann Lee"))
        first = server.queries("/services/rest/")[0]
        monkeypatch.setenv("FLICKR_KEY", "wrong")
        with pytest.raises(SourceError, match=r"answers stat = fail: Invalid API Key \(Key not found\)"):
            asked(flickr_at(server.url), ANN)
    assert (first["text"], first["api_key"]) == ('"Ann Lee"', KEY)
    assert [[offer.key.removeprefix(server.url) for offer in page.offers] for page in pages] == [
        ["/1.jpg"],  # the first photo has no large size
        ["/2.jpg", "/3.jpg"],
        ["/4.jpg"],
    ]
    licences = [offer.licence for page in pages for offer in page.offers]
    assert licences == ["CC-BY-2.0", "all-rights-reserved", "CC-BY-2.0", "all-rights-reserved"]


def test_marks_of_the_service_lead_from_page_to_page() -> None:
    async def answer(request: web.Request) -> web.Response:
        mark = request.query["after"]
        following = {"": "b c", "b c": None}[mark]
        return web.json_response({"data": {"items": [{"u": f"//h/{len(mark)}.jpg"}]}, "next": following})

    fields = {"results": "data.items", "url": "u", "next_cursor": "next"}
    with serve(answer) as server:
        url = f"{server.url}/{{name}}/images?after={{cursor}}"
        api = source(kind="image-api", url=url, fields=fields, max_pages=5, requests_per_minute=60_000)
        pages = asked(api, Person(identity="x", name="A/B"))
        assert [offer.url for page in pages for offer in page.offers] == ["https://h/0.jpg", "https://h/3.jpg"]
        assert server.requests[0].raw_path.startswith("/A%2FB/images")


def test_answers_of_another_form_leave_the_person_for_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAVE_KEY", KEY)
    said: list[Any] = [
        {"other": 1},
        {"results": 5},
        {"results": [{"properties": "x"}, 7, {"properties": {"url": "ftp://h"}}]},
    ]

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(said.pop(0))

    with serve(answer) as server:
        for why in ("has no results; it has other", "another form: TypeError"):
            with pytest.raises(NoAnswerError, match=why):
                asked(brave_at(server.url), ANN)
        (page,) = asked(brave_at(server.url), ANN)
    assert page.offers == []


def test_an_answer_of_brackets_leaves_the_person_for_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAVE_KEY", KEY)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"[" * 200_000, content_type="application/json")

    with serve(answer) as server, pytest.raises(NoAnswerError, match="answer of 200000 bytes is no JSON object"):
        asked(brave_at(server.url), ANN)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "https://h/?q=x"}, "must have {name}"),
        ({"url": "https://h/?q={name}&p={pages}"}, "{pages} is unknown; there are {name}, {page}"),
        ({"url": "https://h/?q={name}", "fields": {"results": "r"}}, "it needs results and url"),
        ({"url": "https://h/?q={name}", "fields": {"results": "r", "url": "u", "x": "y"}}, "it needs results and url"),
        ({"url": "https://h/?q={name}", "key_env": "K"}, "needs one of key_header and key_parameter"),
        ({"url": "https://h/?q={name}", "key_header": "X"}, "need key_env"),
        ({"url": "https://h/?q={name}", "max_pages": 2}, "the same page again and again"),
        ({"kind": "openverse", "page_size": 50}, "page_size=50 needs a token"),
        ({"kind": "openverse", "key_block": "b"}, "needs key_env"),
        ({"kind": "openverse", "client_secret_block": "b"}, "needs client_secret_env"),
        ({"kind": "openverse", "client_id_env": "A"}, "give both"),
        ({"kind": "openverse", "client_id_env": "A", "client_secret_env": "B", "key_env": "C"}, "give one of them"),
    ],
)
def test_a_search_that_cannot_work_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("hq-voxceleb-automatic", [f"sources.photos={ {'kind': 'image-api', **settings} }"])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def add_all(storage: Storage, settings: Any) -> None:
    people = [Person(identity="x", name="Ann Lee")]
    store = PhotoStore(storage, load_book([]), Crawl(retries=0, timeout_s=2), people)
    store.add(settings, "corpus-0", "sources.photos")
    store.manifest()


def test_keys_are_in_no_log_table_or_recipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FLICKR_KEY", KEY)
    storage = open_storage(tmp_path / "root", create=True)
    with serve(flickr) as server, caplog.at_level(logging.DEBUG):
        settings = flickr_at(server.url)
        add_all(storage, settings)
    add_all(storage, settings)  # nobody answers any more
    rows = [row for key in storage.keys("photos/log") for row in parquet_table(storage.read(key)).to_pylist()]
    assert rows
    assert not [row for row in rows if KEY in str(row)]
    assert KEY not in caplog.text
    assert KEY not in settings.model_dump_json()
    written = [path.read_bytes() for path in (tmp_path / "root").rglob("*") if path.is_file()]
    assert not [data for data in written if KEY.encode() in data]


def test_the_services_that_the_documentation_shows_are_settings_that_hold() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "crawl.md").read_text()
    blocks = [yaml.safe_load(block.partition("```")[0]) for block in page.split("```yaml")[1:]]
    assert len(blocks) == 2
    for block in blocks:
        photos = load_recipe("hq-voxceleb-automatic", [f"sources.photos={json.dumps(block['photos'])}"]).sources.photos
        assert [each.kind for each in photos] == [each["kind"] for each in block["photos"]]
    assert [each["fields"] for each in blocks[1]["photos"]] == [BRAVE["fields"], FLICKR["fields"]]
