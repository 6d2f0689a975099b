"""Which urls are asked, how they are sent, and which addresses are connected to."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.crawl.addresses import (
    MAX_URL,
    AddressBook,
    AddressRefusedError,
    UrlRefusedError,
    is_public,
    read_address,
    urls_and_origins,
)
from voxdata.crawl.fetch import Fetcher
from voxdata.format.errors import SourceError
from voxdata.recipe.crawl import Crawl
from voxdata.store.rows import clean


@pytest.mark.parametrize(
    "spelling",
    [
        "http://host.example/a%2Cb?x=%2C,y",
        "HTTP://HOST.EXAMPLE/a%2Cb?x=%2C,y",
        "http://host.example:80/a%2Cb?x=%2C,y",
        "http://host.example./a%2Cb?x=%2C,y#top",
        "  http://Host.Example.:80/a%2Cb?x=%2C,y\n",
    ],
)
def test_five_spellings_are_one_host_and_the_path_stays_as_written(spelling: str) -> None:
    address = read_address(spelling)
    assert (address.url, address.origin) == ("http://host.example/a%2Cb?x=%2C,y", "http://host.example:80")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("http://h.example", "http://h.example/"),
        ("https://h.example:443/a b", "https://h.example/a%20b"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://h.example/\udcff", "http://h.example/%FF"),
        ("http://h.example:8080/?q=a|b", "http://h.example:8080/?q=a%7Cb"),
        ("http://[2001:DB8::1]/", "http://[2001:db8::1]/"),
    ],
)
def test_urls_are_sent_in_ascii(written: str, sent: str) -> None:
    assert read_address(written).url == sent
    assert read_address(sent).url == sent


@pytest.mark.parametrize(
    "url",
    [
        *("", "h.example", "//h.example/", "ftp://h.example/", "file:///etc/passwd", "javascript:alert(1)"),
        *("http://", "http:///x", "http://u@h.example/", "http://u:p@h.example/", "http://@h.example/"),
        *("http://127.1/", "http://2130706433/", "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://１.1.1.1/"),
        *("http://h.example:0/", "http://h.example:99999/", "http://h.example:x/", "http://[::1/", "http://[x]/"),
        *("http://a..b/", "http://.h/", "http://a b/", "http://h%2eexample/", "http://h\\.example/"),
        *(f"http://h.example/{'x' * 9000}", f"http://{'x' * 64}.example/", f"http://{'a.' * 130}example/"),
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(UrlRefusedError):
        read_address(url)


@given(st.text())
def test_any_text_is_a_url_or_refused(text: str) -> None:
    for url in (text, f"http://h.example/{text}", f"http://{text}/"):
        with suppress(UrlRefusedError):
            address = read_address(url)
            assert address.url.isascii()
            assert read_address(address.url) == address


URLS = st.one_of(
    st.text(alphabet=st.characters(codec="utf-8") | st.characters(categories=["Cs"])),
    st.from_regex(r"\Ahttps?://[a-zA-Z0-9.:@-]{0,80}/[!-~ é\n\x00]{0,20}"),
    st.integers(100, 140).map(lambda labels: f"http://{'a.' * labels}example/x"),  # up to 253 letters are a name
    st.integers(MAX_URL - 30, MAX_URL + 2).map(lambda letters: f"http://photos.example/{'x' * letters}"),
)


@given(st.lists(URLS))
def test_many_urls_at_once_are_read_as_each_alone(urls: list[str]) -> None:
    sent, origins, refused = urls_and_origins(urls)
    expected = [alone(url) for url in urls]
    found = zip(sent, origins, strict=True)
    assert [(*each, str(refused.get(place, ""))) for place, each in enumerate(found)] == expected


def alone(url: str) -> tuple[str, str, str]:
    """A url as it is sent, its origin, and why it is refused."""
    try:
        address = read_address(url)
    except UrlRefusedError as error:
        return url, "", str(error)
    assert read_address(address.origin).origin == address.origin
    return address.url, address.origin, ""


@given(st.text(alphabet=st.characters(codec="utf-8") | st.characters(categories=["Cs"])))
def test_clean_text_is_utf_8(text: str) -> None:
    assert len(clean(text).encode()) >= len(text)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
        ),
        *("224.0.0.1", "255.255.255.255", "168.63.129.16", "192.0.0.192", "198.18.0.1", "::1", "::", "fe80::1"),
        *(
            "fe80::1%eth0",
            "fd00:ec2::254",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
        ),
        *("::127.0.0.1", "ff02::1", "2001:db8::1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


def resolved(book: AddressBook, host: str, port: int = 80) -> list[str]:
    return [each["host"] for each in asyncio.run(book.resolve(host, port))]


def test_every_address_of_a_name_is_checked() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return {"mixed.example": ["10.0.0.1", "8.8.8.8"], "inside.example": ["10.0.0.1", "::1"]}[host]

    book = AddressBook(lookup=lookup)
    assert resolved(book, "mixed.example") == ["8.8.8.8"]
    with pytest.raises(
        AddressRefusedError,
        match=r"inside.example is at 10.0.0.1, ::1, and that is not a public address; .*private_addresses=\[inside",
    ):
        resolved(book, "inside.example")
    assert resolved(AddressBook(["inside.example"], lookup=lookup), "INSIDE.example.") == ["10.0.0.1", "::1"]
    assert resolved(AddressBook(["10.0.0.0/8"], lookup=lookup), "inside.example") == ["10.0.0.1"]
    with pytest.raises(AddressRefusedError):
        resolved(AddressBook(["inside.example:8080"], lookup=lookup), "inside.example")


def test_the_last_gate_knows_what_was_let_through() -> None:
    book = AddressBook(["127.0.0.1:81"])
    found = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 81))
    with pytest.raises(AddressRefusedError):
        book.make_socket(found)
    book.check(read_address("http://127.0.0.1:81/"))
    book.make_socket(found).close()


def test_a_loopback_url_of_the_recipe_names_its_port_and_no_other() -> None:
    book = AddressBook(own=["http://127.0.0.1:8000/", "http://10.0.0.1/"])
    book.check(read_address("http://127.0.0.1:8000/x"))
    for other in ("http://127.0.0.1:8001/", "http://127.0.0.2:8000/", "http://10.0.0.1/"):
        assert book.refuses(read_address(other))


def test_whoever_is_asked_off_this_machine_must_be_told_who_asks() -> None:
    async def ask(**settings: object) -> str:
        crawl = Crawl.model_validate({"retries": 0, "timeout_s": 0.5, **settings})

        async def nowhere(host: str, port: int) -> list[str]:
            raise OSError("there is no network here")

        async with Fetcher(crawl, lookup=nowhere) as fetcher:
            return (await fetcher.get("http://h.example/")).status

    with pytest.raises(SourceError, match=r"h.example would be asked .*crawl\.contact="):
        asyncio.run(ask())
    for known in ({"contact": "mailto:us@lab.example"}, {"user_agent": "bot (+https://lab.example)"}):
        assert asyncio.run(ask(**known)) in ("failed", "disallowed")
