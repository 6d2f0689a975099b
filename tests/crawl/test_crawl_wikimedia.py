"""The source `wikimedia` against a server that answers as Wikidata and Commons document it."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from tests.crawl.finding import asked, found, source
from tests.crawl.wikimedia_server import FEMALE, MALE, country, item, person, serve_wiki, text
from voxdata.crawl.fetched import Fetched
from voxdata.crawl.hosts import ApiLimits
from voxdata.format.errors import SourceError
from voxdata.sources.kinds import Choice, NoAnswerError, Person, PhotoUrl
from voxdata.sources.naming import photo_kind
from voxdata.sources.wikimedia import lag_s

ANN = Person(identity="id10001", name="Ann B. Lee", sex="f", nationality="UK")
COUNTRIES = {"Q145": country("United Kingdom", "UK", "U.K."), "Q30": country("United States", "USA", "US")}
LEE = person("Ann B. Lee", P21=item(FEMALE), P27=item("Q145"), P18=text("Ann.jpg"), P373=text("Ann B. Lee"))
BY = {
    "LicenseShortName": "CC BY-SA 4.0",
    "LicenseUrl": "https://creativecommons.org/licenses/by-sa/4.0",
    "Artist": '<a href="//commons.wikimedia.org/wiki/User:Jo" title="User:Jo">Jo &amp; Co</a>',
    "Restrictions": "personality",
}


def lag(seconds: str | None, code: str = "maxlag") -> web.Response:
    """The error within a 200 (Manual:Maxlag_parameter)."""
    said = {"error": {"code": code, "info": "Waiting for db1: 6.1 seconds lagged", "host": "db1", "lag": 6.1}}
    return web.json_response(said, headers={} if seconds is None else {"Retry-After": seconds, "X-Database-Lag": "6"})


def names(offers: Any) -> list[str]:
    return [offer.key.rpartition("/")[2] for offer in offers]


def test_a_person_is_found_checked_and_their_files_come_with_licence_author_and_page() -> None:
    with serve_wiki(
        items={"Q1": LEE, **COUNTRIES},
        categories={"Ann B. Lee": ["Ann.jpg", "at work.jpg", "speech.ogg", "gone.jpg", "drawing.svg", "two.png"]},
        metadata={"Ann.jpg": BY, "two.png": {"LicenseShortName": "Public domain", "Attribution": "The Museum"}},
        mimes={"speech.ogg": "application/ogg", "drawing.svg": "image/svg+xml", "two.png": "image/png"},
    ) as wiki:
        offers = found(source(**wiki.settings), [ANN])
        base = wiki.asked.url
    assert names(offers) == ["Ann.jpg", "at%20work.jpg", "two.png"]
    assert offers[0] == PhotoUrl(
        words="id10001",
        key=f"{base}/files/Ann.jpg",
        url=f"{base}/files/Ann.jpg",
        licence="CC-BY-SA-4.0",
        licence_url="https://creativecommons.org/licenses/by-sa/4.0",
        author="Jo & Co",
        attribution="Jo & Co, via Wikimedia Commons",
        restrictions="personality",
        page_url=f"{base}/wiki/File:Ann.jpg",
        rank=0,
    )
    assert [offer.rank for offer in offers] == [0, 1, 2]
    assert (offers[1].licence, offers[2].licence, offers[2].attribution) == (None, "public-domain", "The Museum")


def test_every_request_says_who_asks_and_that_it_gives_way() -> None:
    with serve_wiki(items={"Q1": LEE, **COUNTRIES}) as wiki:
        found(source(**wiki.settings), [ANN], user_agent="lab (mailto:lab@example.org)")
    assert len(wiki.asked.requests) >= 5
    for request in wiki.asked.requests:
        assert request.headers["User-Agent"] == "lab (mailto:lab@example.org)"
        assert request.query["maxlag"] == "5"
    kind = photo_kind(source(**wiki.settings), "sources.photos")
    assert kind.hosts(None) == {"upload.wikimedia.org": ApiLimits(connections=2, mbit_per_s=25)}


@pytest.mark.parametrize(
    ("others", "who", "chosen"),
    [
        ({}, {}, ["Q1"]),
        ({"Q2": person("Ann B. Lee House")}, {}, ["Q1"]),  # begins so, and is called otherwise
        ({"Q2": {**person("Ann B. Lee"), "claims": {"P31": item("Q41176")}}}, {}, ["Q1"]),  # a building
        ({"Q2": person("Ann B. Lee", P21=item(MALE))}, {}, ["Q1"]),
        ({"Q2": person("Ann B. Lee", P21=item(FEMALE), P27=item("Q30"))}, {}, ["Q1"]),
        ({"Q2": person("A. Lee", aliases=("ANN B. LEE",), P27=item("Q30"))}, {"nationality": "USA"}, ["Q2"]),
        (
            {"Q2": person("Ann B. Lée", aliases=("ann b. lee",), P21=item(FEMALE))},
            {},
            ["Q1", "Q2"],
        ),  # whose nationality nobody knows
        ({"Q2": person("Ann B. Lee", P27=item("Q30"))}, {"nationality": "unknown"}, ["Q1", "Q2"]),
        ({"Q2": person("Ann B. Lee", P21=item(MALE))}, {"sex": "unknown", "nationality": "unknown"}, ["Q1", "Q2"]),
        ({}, {"nationality": "Chile"}, ["Q1"]),  # one, but of another nationality
        ({}, {"sex": "m"}, []),
        ({}, {"name": "Nobody"}, []),
    ],
)
def test_who_is_meant_is_known_or_left_to_a_person(
    others: dict[str, Any], who: dict[str, str], chosen: list[str]
) -> None:
    images = {
        name: {**entity, "claims": {**entity["claims"], "P18": text(f"{name}.jpg")}} for name, entity in others.items()
    }
    one = {**LEE, "claims": {**LEE["claims"], "P18": text("Q1.jpg")}}
    with serve_wiki(items={"Q1": one, **images, **COUNTRIES}) as wiki:
        pages = asked(source(**wiki.settings), Person(**{**vars(ANN), **who}))
    offers = [name for page in pages for name in names(page.offers)]
    choices = [choice.id for page in pages for choice in page.choices]
    sure = len(chosen) == 1 and who.get("nationality") != "Chile"
    assert offers == ([f"{chosen[0]}.jpg"] if sure else [])
    assert sorted(choices) == ([] if sure else chosen)


def test_a_choice_says_who_it_is_and_a_persons_word_counts(caplog: pytest.LogCaptureFixture) -> None:
    other = person("Ann B. Lee", said="botanist", P18=text("other.jpg"))
    noted: dict[str, list[Choice]] = {}
    with serve_wiki(items={"Q1": {**LEE, "descriptions": {}}, "Q2": other}) as wiki:
        settings = source(**wiki.settings)
        person_ = Person(identity="id10001", name="Ann B. Lee")
        assert found(settings, [person_], undecided=lambda who, them: noted.update({who.identity: list(them)})) == []
        assert noted["id10001"] == [
            Choice(id="Q1", label="Ann B. Lee", description=""),
            Choice(id="Q2", label="Ann B. Lee", description="botanist"),
        ]
        assert names(asked(settings, person_, decided="Q2")[0].offers) == ["other.jpg"]
        searched = len([q for q in wiki.asked.queries("/w/api.php") if q["action"] == "wbsearchentities"])
        assert asked(settings, person_, decided="")[0].offers == ()
        assert asked(settings, person_, decided="Q404")[0].offers == ()
        assert searched == len([q for q in wiki.asked.queries("/w/api.php") if q["action"] == "wbsearchentities"])


def test_many_namesakes_and_files_come_in_batches_that_resume() -> None:
    namesakes = {f"Q{n}": person("Ann B. Lee", P21=item(MALE)) for n in range(100, 170)}
    members = [f"{n}.jpg" for n in range(7)]
    holds = {"items": {**namesakes, "Q1": LEE, **COUNTRIES}, "categories": {"Ann B. Lee": members}, "per_page": 3}
    with serve_wiki(**holds) as wiki:
        settings = source(**wiki.settings)
        pages = asked(settings, ANN)
        assert [names(page.offers) for page in pages] == [["Ann.jpg"], members[:3], members[3:6], members[6:]]
        assert max(len(query["ids"].split("|")) for query in wiki.asked.queries("/w/api.php") if "ids" in query) == 50
        assert [offer.rank for page in pages for offer in page.offers] == list(range(8))
        before = len(wiki.asked.requests)
        (again,) = asked(settings, ANN, cursor=pages[1].cursor)
        assert again == pages[2]
        assert len(wiki.asked.requests) == before + 1
        assert names(asked(source(**wiki.settings, category=False), ANN)[0].offers) == ["Ann.jpg"]


@pytest.mark.parametrize(
    ("depth", "files"),
    [
        (0, ["Ann.jpg", "a.jpg"]),
        (1, ["Ann.jpg", "a.jpg", "b.jpg", "c.jpg"]),
        (4, ["Ann.jpg", "a.jpg", "b.jpg", "c.jpg", "d.jpg"]),
    ],
)
def test_categories_below_a_persons_are_taken_as_deep_as_the_recipe_says(depth: int, files: list[str]) -> None:
    with serve_wiki(
        items={"Q1": LEE, **COUNTRIES},
        categories={
            "Ann B. Lee": ["Ann.jpg", "a.jpg"],
            "2009": ["a.jpg", "b.jpg"],
            "2010": ["c.jpg"],
            "May": ["d.jpg"],
        },
        subcategories={"Ann B. Lee": ["2009", "2010"], "2010": ["May", "2009"], "May": ["Ann B. Lee", "2010"]},
    ) as wiki:
        settings = source(**wiki.settings, subcategories=depth)
        pages = asked(settings, ANN)
        assert [name for page in pages for name in names(page.offers)] == files
        assert [offer.rank for page in pages for offer in page.offers] == list(range(len(files)))
        for page, following in pairwise(pages):  # a search goes on from anywhere
            assert asked(settings, ANN, cursor=page.cursor)[0] == following


@pytest.mark.parametrize(("below", "left"), [(199, 0), (200, 1), (450, 251)])
def test_categories_that_are_left_out_are_counted(below: int, left: int, caplog: pytest.LogCaptureFixture) -> None:
    years = [f"in_{year}" for year in range(below)]
    with serve_wiki(
        items={"Q1": LEE, **COUNTRIES},
        categories={"Ann B. Lee": ["Ann.jpg"], **{name: [f"{name}.jpg"] for name in years}},
        subcategories={"Ann B. Lee": years, "in_0": years[::-1]},  # found twice, they are counted once
    ) as wiki:
        offers = found(source(**wiki.settings, subcategories=2), [ANN])
        assert names(offers) == ["Ann.jpg", *(f"{name}.jpg" for name in years[:199])]
    said = f"sources.photos: {ANN.name} has more than 200 categories at Commons; at least {left} are left out"
    assert (said in caplog.text) == (left > 0)
    assert ("left out" in caplog.text) == (left > 0)


def test_names_are_found_in_further_languages() -> None:
    anna = {**LEE, "labels": {**LEE["labels"], "de": {"language": "de", "value": "Anna Leh"}}}
    uk = {**COUNTRIES["Q145"], "aliases": {"de": [{"language": "de", "value": "Vereinigtes Königreich"}]}}
    who = Person(identity="id10001", name="Anna Leh", nationality="Vereinigtes Königreich")
    with serve_wiki(items={"Q1": anna, "Q145": uk}) as wiki:
        assert found(source(**wiki.settings), [who]) == []
        assert names(found(source(**wiki.settings, also_languages=["de"]), [who])) == ["Ann.jpg"]
        both = person("Anna Leh", P18=text("other.jpg"), P21=item(FEMALE), P27=item("Q145"))
        wiki.items["Q2"] = both  # called so in another language: nobody guesses
        (page,) = asked(source(**wiki.settings, also_languages=["de"]), who)
        assert [choice.id for choice in page.choices] == ["Q2", "Q1"]


def test_lagging_servers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_wiki(items={"Q1": LEE, **COUNTRIES}, faults=[lag("1")]) as wiki:
        assert names(found(source(**wiki.settings), [ANN])) == ["Ann.jpg"]
    said = [lag(None), lag("7"), lag("7", "ratelimited"), lag("7", "badvalue"), lag("0")]
    answers = [
        Fetched(
            url="u", status="stored", data=bytes(each.body), headers={k.lower(): v for k, v in each.headers.items()}
        )
        for each in said
    ]
    assert [lag_s(each) for each in answers] == [5.0, 7.0, 7.0, None, 1.0]
    assert lag_s(Fetched(url="u", status="stored", data=b'{"query": "error"}')) is None
    assert lag_s(Fetched(url="u", status="stored", data=b'"error"')) is None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lag(None, "internal_api_error_DBQueryError"), "internal_api_error_DBQueryError: Waiting"),
        (web.Response(status=404), "not_found 404"),
        (web.Response(text="<html>"), "is no JSON object"),
        (web.Response(text="[]"), "is no JSON object"),
        (web.json_response({"search": 3}), "another form: TypeError"),
        (web.json_response({"error": "no"}), "None: None"),
    ],
)
def test_an_answer_that_is_none_leaves_the_person_for_another_time(
    fault: web.Response, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    bo = Person(identity="id10002", name="Bo")
    people = {"Q1": LEE, "Q2": person("Bo", P18=text("Bo.jpg")), **COUNTRIES}
    with serve_wiki(items=people, faults=[fault]) as wiki, caplog.at_level(logging.WARNING):
        assert names(found(source(**wiki.settings), [ANN, bo])) == ["Bo.jpg"]
    assert (
        "sources.photos: 1 of 2 people were not answered for; the same command asks again; the first is Ann B. Lee"
        in (caplog.text)
    )
    assert said in caplog.text


def test_a_page_that_fails_is_asked_for_again_by_its_cursor() -> None:
    holds = {"items": {"Q1": LEE, **COUNTRIES}, "categories": {"Ann B. Lee": ["1.jpg"]}}
    with serve_wiki(**holds) as wiki:
        settings = source(**wiki.settings)
        first = asked(settings, ANN, only_first=True)[0]
        wiki.faults.append(web.Response(text="half an answ"))
        with pytest.raises(NoAnswerError, match="no JSON object"):
            asked(settings, ANN, cursor=first.cursor)
        assert names(asked(settings, ANN, cursor=first.cursor)[0].offers) == ["1.jpg"]


def test_refused_access_ends_the_search_with_what_to_do() -> None:
    said = r"sources\.photos: .*api\.php refuses to answer \(status 403\).*contact"
    fault = web.Response(status=403, text="Scripts should use an informative User-Agent")
    with serve_wiki(faults=[fault]) as wiki, pytest.raises(SourceError, match=said):
        found(source(**wiki.settings), [ANN])


def test_statements_that_say_nothing_are_passed_over() -> None:
    unknown = {"mainsnak": {"snaktype": "somevalue", "property": "P18"}, "rank": "normal"}
    claims = {"P18": [unknown, *text("old.jpg", rank="deprecated"), *text("b.jpg"), *text("a.jpg", rank="preferred")]}
    with serve_wiki(items={"Q1": person("Bo", **claims)}) as wiki:
        offers = found(source(**wiki.settings), [Person(identity="x", name="Bo")])
        assert names(offers) == ["a.jpg", "b.jpg"]
        (query,) = wiki.asked.queries("/c/api.php")
    assert query["titles"] == "File:a.jpg|File:b.jpg"
