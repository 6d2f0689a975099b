"""What hosts reserve in tdmrep.json, as owners write it, and what comes of one that cannot be had or read."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.crawl.fetching import fetch
from tests.crawl.serving import Handler, attempts, bytes_of, photo_of, serving, status
from voxdata.crawl.hosts import reservations_of, reservations_text
from voxdata.crawl.signals import PATTERN_LETTERS, TDMREP, Rules, read_reservations
from voxdata.recipe.crawl import OPT_OUTS
from voxdata.store.storage import LocalStorage

pytestmark = pytest.mark.usefixtures("lists")
HOST = "https://photos.example.org:443"


def reserved(stated: object, target: str) -> bool:
    """Whether a path of `HOST` is reserved, now and by what is remembered of it."""
    found = read_reservations(json.dumps(stated).encode())
    assert found is not None
    kept = reservations_of(reservations_text(Rules(text="", agents=("x",), host=HOST, reservations=found)))
    assert kept == found
    return Rules(text="", agents=("x",), host=HOST, reservations=kept).opt_out(target, OPT_OUTS) is not None


@pytest.mark.parametrize(
    "location",
    [
        *("/", "", " / ", "./", ".", "*", None, [], ["/private/", "/a/"], "/a/\n", "\ta/", "./a/", [["/a/"]], 1),
        *("https://photos.example.org/", "https://photos.example.org", "HTTP://Photos.Example.org:80/a/#top"),
        *("https://example.org/a/", "https://www.photos.example.org/a", "https://*.example.org/", "https://*/a/"),
    ],
)
def test_a_location_is_what_its_owner_means(location: object) -> None:
    assert reserved([{"location": location, "tdm-reservation": 1}], "a/1.jpg")


@pytest.mark.parametrize(
    "location",
    ["/b/", "https://photos.example.org/b/", "https://other.example/a/", "https://ample.org/", ["/b", "/c"], "./b/"],
)
def test_a_location_elsewhere_reserves_nothing_here(location: object) -> None:
    assert not reserved([{"location": location, "tdm-reservation": 1}], "a/1.jpg")
    assert reserved([{"location": location, "tdm-reservation": 1}, {"location": "/", "tdm-reservation": 1}], "a/1.jpg")


@pytest.mark.parametrize("key", ["tdm-reservation", "TDM-Reservation", "tdm_reservation", " tdm-reservation "])
@pytest.mark.parametrize("value", ["1", 1, True, "yes", "Yes", "true"])
def test_a_reservation_is_heard_in_any_spelling(key: str, value: object) -> None:
    assert reserved([{"Location": "/a/", key: value}], "a/1.jpg")
    assert reserved({key: value}, "a/1.jpg")
    assert reserved({"version": 1, "rules": [{"location": "/open/", key: 0}, {key: value}]}, "a/1.jpg")
    assert not reserved([{"location": "/a/", key: 0}, {key: value}], "a/1.jpg")


def test_an_entry_without_a_reservation_reserves_nothing() -> None:
    assert not reserved([{"location": "/"}, {"location": 1, "tdm-reservation": 0}, "tdm-reservation", 1, None], "a")


BROKEN = {
    "trailing comma": b'[{"location": "/", "tdm-reservation": 1},]',
    "comment": b'// ours\n[{"location": "/", "tdm-reservation": 1}]',
    "markup comment": b'<!-- ours -->[{"location": "/", "tdm-reservation": 1}]',
    "Latin-1": '[{"location": "/caf\u00e9", "tdm-reservation": 1}]'.encode("latin-1"),
    "cut": b'[{"location": "/", "tdm-reservation": 1',
    "UTF-16": '[{"location": "/", "TDM_Reservation": 1},]'.encode("utf-16"),
    "a long number": b'[{"location": "/", "tdm-reservation": ' + b"1" * 5000 + b"}]",
    "nested": b"[" * 100_000 + b'{"tdm-reservation": 1}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_and_speaks_of_reservations_is_none_of_the_others(name: str) -> None:
    assert read_reservations(BROKEN[name]) is None


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"null", b"Not found", b"[" * 100_000, b"<!doctype html><title>Not found</title>"),
        b'<html><meta name="tdm-reservation" content="0">',
    ],
)
def test_what_is_no_tdmrep_reserves_nothing(data: bytes) -> None:
    assert read_reservations(data) == []


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=9), lambda each: st.lists(each, max_size=3)),
    st.text(max_size=3 * PATTERN_LETTERS),
)
def test_no_location_hides_that_the_whole_host_is_reserved(location: object, text: str) -> None:
    for each in (location, text):
        assert reserved([{"location": each, "tdm-reservation": 1}, {"location": "/", "tdm-reservation": 1}], "a")


@pytest.mark.parametrize("setting", [404, 403, 401, 451, 410, 204, 200])
def test_a_tdmrep_that_is_not_there_reserves_nothing(storage: LocalStorage, setting: int) -> None:
    with serving({TDMREP: status(setting), "/1.jpg": photo_of("1")}) as (url, _):
        assert fetch(storage, [("ann", f"{url}/1.jpg")]).num_rows == 1


def test_a_host_whose_tdmrep_fails_is_closed_and_asked_again(storage: LocalStorage) -> None:
    routes: dict[str, Handler] = {TDMREP: status(503), "/1.jpg": photo_of("1")}
    with serving(routes) as (url, asked):
        assert fetch(storage, [("ann", f"{url}/1.jpg")], retries=1).num_rows == 0
        assert "/1.jpg" not in asked
        assert asked.count(TDMREP) == 2
        said = {row["detail"] for row in attempts(storage) if row["source_path"].endswith(TDMREP)}
        assert said == {"503"}


def test_a_tdmrep_that_fails_once_closes_nothing_for_long(storage: LocalStorage) -> None:
    answers = [status(500), bytes_of(b'[{"location": "/2.jpg", "tdm-reservation": 1}]')]
    routes: dict[str, Handler] = {TDMREP: lambda request: answers.pop(0)(request)}
    with serving({**routes, "/1.jpg": photo_of("1"), "/2.jpg": photo_of("2")}) as (url, asked):
        assert fetch(storage, [("ann", f"{url}/1.jpg"), ("ann", f"{url}/2.jpg")]).num_rows == 1
    assert "/2.jpg" not in asked


def test_a_long_tdmrep_is_read_to_its_end(storage: LocalStorage) -> None:
    entries = [{"location": f"/{'x' * 60}/{number}", "tdm-reservation": 0} for number in range(20_000)]
    data = json.dumps([*entries, {"location": "/1.jpg", "tdm-reservation": 1}]).encode()
    with serving({TDMREP: bytes_of(data), "/1.jpg": photo_of("1"), "/2.jpg": photo_of("2")}) as (url, asked):
        assert fetch(storage, [("ann", f"{url}/1.jpg"), ("ann", f"{url}/2.jpg")]).num_rows == 1
    assert "/1.jpg" not in asked


def test_a_tdmrep_that_cannot_be_read_reserves_everything_and_is_told(
    storage: LocalStorage, caplog: pytest.LogCaptureFixture
) -> None:
    routes = {TDMREP: bytes_of(BROKEN["comment"]), "/1.jpg": photo_of("1")}
    with serving(routes) as (url, asked), caplog.at_level(logging.WARNING):
        assert fetch(storage, [("ann", f"{url}/1.jpg")]).num_rows == 0
        assert f"{url}{TDMREP} cannot be read" in caplog.text
    assert "/1.jpg" not in asked
    assert [row["opt_out"] for row in attempts(storage) if row["identity"]] == ["tdmrep.json: /*"]
