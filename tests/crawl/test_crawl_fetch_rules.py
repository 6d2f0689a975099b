"""What is asked at all, and when: urls, addresses, robots.txt, opt-outs, the pace of a host, the budget of memory."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protego import Protego

from voxdata.crawl.addresses import AddressBook, AddressRefusedError, UrlRefusedError, is_public, read_address
from voxdata.crawl.contents import image_format
from voxdata.crawl.fetch import Fetcher
from voxdata.crawl.hosts import ApiLimits, Host, Hosts
from voxdata.crawl.memory import Memory
from voxdata.crawl.robots import Robots, matches, read_robots
from voxdata.crawl.signals import Rules, header_opt_out, meta_opt_out, read_reservations
from voxdata.format.errors import SourceError
from voxdata.recipe.crawl import OPT_OUTS, Crawl
from voxdata.store.proxies import proxy_for, spare_loopback, usable
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
        f"http://h.example/{'x' * 9000}",
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
    with pytest.raises(AddressRefusedError, match=r"inside.example is 10.0.0.1, ::1, not .*private_addresses=\[inside"):
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


RULE = st.builds(
    lambda key, path: f"{key}: {path}",
    st.sampled_from(["Allow", "Disallow", "disallow "]),
    st.text(alphabet="/ab*$", max_size=6).map(lambda text: f"/{text}"),
)
GROUP = st.builds(
    lambda names, rules: "\n".join([*(f"User-agent: {name}" for name in names), *rules]),
    st.lists(st.sampled_from(["*", "ourbot", "otherbot", "OURBOT"]), min_size=1, max_size=2),
    st.lists(RULE, max_size=4),
)


@given(st.lists(GROUP, max_size=3), st.text(alphabet="/ab", max_size=6))
def test_robots_are_read_as_another_parser_reads_them(groups: list[str], path: str) -> None:
    text = "\n\n".join(groups)
    if any("$" in line.rstrip("$") for line in text.splitlines()):
        return  # a `$` that does not end a pattern: the standard does not say
    theirs = Protego.parse(text).can_fetch(f"http://h.example/{path}", "ourbot/1")
    assert Robots(text).allow(f"/{path}", "ourbot/1") == theirs


@pytest.mark.parametrize(
    ("pattern", "path", "holds"),
    [
        ("/a", "/ab", True),
        ("/a$", "/ab", False),
        ("/*.jpg$", "/x/y.jpg", True),
        ("/*.jpg$", "/x/y.jpg?1", False),
        ("/a*b*c", "/a1b2c3", True),
        ("*", "/", True),
        ("/a*a$", "/a", False),
    ],
)
def test_patterns(pattern: str, path: str, holds: bool) -> None:
    assert matches(pattern, path) == holds


def test_escapes_in_robots_have_one_spelling() -> None:
    robots = Robots("User-agent: *\nDisallow: /caf%C3%A9\nDisallow: /%7euser\nDisallow: /a%2fb\n")
    for path in ("/café", "/caf%c3%a9", "/~user", "/%7Euser", "/a%2Fb"):
        assert not robots.allow(path, "x"), path
    assert robots.allow("/a/b", "x")


def test_a_robots_file_is_cut_at_a_line() -> None:
    data = b"\xef\xbb\xbfUser-agent: *\n" + b"Disallow: /aaaa\n" * 60_000
    text = read_robots(data)
    assert text.startswith("User-agent")
    assert len(text) <= 500 << 10
    assert text.endswith("/aaaa\n")


def test_rules_of_further_names_are_kept_too() -> None:
    text = "User-agent: GPTBot\nDisallow: /\n\nUser-agent: *\nCrawl-delay: 3\nAllow: /\n"
    assert Rules(text=text, agents=("ourbot",)).allow("x.jpg")
    assert not Rules(text=text, agents=("ourbot", "GPTBot")).allow("x.jpg")
    assert Rules(text=text, agents=("ourbot", "GPTBot")).delay_s == 3


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"x-robots-tag": "noai"}, "X-Robots-Tag: noai"),
        ({"x-robots-tag": "bot: NoIndex, nofollow"}, "X-Robots-Tag: noindex"),
        ({"x-robots-tag": "noarchive, unavailable_after: 1 Jan 2030"}, None),
        ({"tdm-reservation": "1"}, "tdm-reservation: 1"),
        ({"tdm-reservation": "0"}, None),
        ({}, None),
    ],
)
def test_opt_outs_in_headers(headers: dict[str, str], said: str | None) -> None:
    assert header_opt_out(headers, OPT_OUTS) == said
    assert header_opt_out(headers, ()) is None


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b'<head><META content="noai, x" name=robots>', "meta robots: noai"),
        (b"<meta name='robots' content='none'>", "meta robots: noindex"),
        (b'<meta name="tdm-reservation" content="1">', "meta tdm-reservation: 1"),
        (b'<!-- <meta name="robots" content="noai"> --><head>', None),
        (b'<body><meta name="robots" content="noai">', None),
        (b'<meta name="robots" content="index, follow">', None),
        (b"<meta " * 30_000, None),
        (b"<!--" * 20_000, None),
        (b"\xff\xfe<\0m\0e\0t\0a", None),
    ],
)
def test_opt_outs_in_pages(page: bytes, said: str | None) -> None:
    assert meta_opt_out(page, OPT_OUTS) == said


@pytest.mark.parametrize("opt_out", ["content-signal", "tdmrep"])
def test_each_opt_out_of_a_host_is_a_setting(opt_out: str) -> None:
    rules = Rules(
        text="Content-Signal: ai-train=no\nUser-agent: *\nAllow: /",
        agents=("x",),
        reservations=[("/open/*", False), ("/*", True)],
    )
    assert rules.opt_out("a.jpg", [opt_out]) is not None
    assert rules.opt_out("a.jpg", [each for each in OPT_OUTS if each not in ("content-signal", "tdmrep")]) is None
    assert rules.opt_out("open/a.jpg", ["tdmrep"]) is None


@given(st.binary())
def test_any_tdmrep_is_read(data: bytes) -> None:
    assert isinstance(read_reservations(data), list)


@given(st.binary(max_size=64))
def test_any_bytes_have_a_format_or_none(data: bytes) -> None:
    assert image_format(data) in (None, "bmp", "jpeg", "png", "gif", "webp", "avif", "heic", "jp2", "tiff")


def test_a_host_keeps_the_longest_pause() -> None:
    host = Host("http://h:80", 4, delay_s=2.0)
    host.rules = Rules(text="User-agent: *\nCrawl-delay: 3", agents=("x",))
    assert host.pause_s == 3
    host.start(100.0)
    assert host.ready_at() == 103
    host.answered(80.0)
    assert host.pause_s == 10  # half of the time that four connections leave between two starts


def test_errors_never_shorten_the_pause_and_good_answers_do() -> None:
    host = Host("http://h:80", 4, delay_s=0.0)
    for _ in range(30):
        host.answered(1.0)
    before = host.pause_s
    for _ in range(3):
        host.failed(0.0, "500", wasted_s=0.001)
    assert host.pause_s == before
    host.failed(0.0, "timeout", wasted_s=30.0)
    assert host.pause_s > before
    for _ in range(60):
        host.answered(0.1)
    assert host.pause_s < before


def test_429_halves_the_connections_and_good_answers_bring_them_back() -> None:
    host = Host("http://h:80", 8, delay_s=0.0)
    host.busy_signal(0.0, 7.0)
    assert (host.may, host.ready_at()) == (4, 7.0)
    host.busy_signal(0.0, 0.0)
    assert host.may == 2
    for _ in range(40):
        host.answered(0.1)
    assert host.may == 8


def test_a_dead_host_is_asked_less_and_less() -> None:
    now, asked = 0.0, 0
    host = Host("http://h:80", 4, delay_s=0.0)
    while now < 3600:
        host.start(now)
        host.failed(now, "no answer")
        host.end()
        asked += 1
        now = max(now + 0.01, host.ready_at())
    assert asked <= 12
    assert host.may == 1
    host.answered(0.1)
    assert (host.may, host.rest, host.ready_at() <= now) == (4, 0, True)


def test_what_a_host_asked_for_is_remembered() -> None:
    crawl = Crawl()
    hosts = Hosts(crawl)
    host = hosts.get("http://h:80")
    host.busy_signal(hosts._clock.now(), 500.0)
    host.rules, host.rules_at = Rules(text="User-agent: *\nDisallow: /x", agents=("x",)), hosts._clock.now()
    again = Hosts(crawl, {row["host"]: row for row in hosts.rows()}).get("http://h:80")
    assert again.rests_until == host.rests_until
    assert again.rules is not None
    assert not again.rules.allow("x")


def test_a_source_may_say_how_a_host_wants_to_be_asked() -> None:
    hosts = Hosts(Crawl(delay_s=0.1))
    hosts.limit("Upload.example", ApiLimits(connections=2, delay_s=0.0, mbit_per_s=8.0))
    host = hosts.get("https://upload.example:443")
    assert (host.may, host.pause_s) == (2, 0.1)
    waits = [host.take(0.0, 500_000), host.take(0.0, 500_000)]
    assert 8.0 / waits[1] < 8.0  # Mbit of both by the time until more may come: below the limit
    assert waits == pytest.approx([waits[1] / 2, 10 / 9])


def test_memory_is_bounded_and_nobody_waits_for_ever() -> None:
    async def reader(memory: Memory, pieces: int) -> int:
        memory.begin()
        for _ in range(pieces):
            await memory.take(10)
            await asyncio.sleep(0)
        most.append(memory.held)
        memory.free(10 * pieces)
        memory.end()
        return pieces

    async def read() -> list[int]:
        memory = Memory(50)
        return await asyncio.wait_for(asyncio.gather(*(reader(memory, 8) for _ in range(10))), 5)

    most: list[int] = []
    assert asyncio.run(read()) == [8] * 10
    assert max(most) <= 50 + 80


def test_proxies_are_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    assert proxy_for("http", "h.example", 80) == "http://proxy.example:3128"
    assert proxy_for("https", "h.example", 443) is None
    assert [proxy_for("http", host, 80) for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8")] == [None] * 4
    monkeypatch.setenv("no_proxy", "h.example")
    assert proxy_for("http", "h.example", 80) is None
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9050")
    assert not usable(str(proxy_for("https", "i.example", 443)))
    environment = {"NO_PROXY": "a.example"}
    spare_loopback(environment)
    assert environment == dict.fromkeys(("NO_PROXY", "no_proxy"), "a.example,localhost,127.0.0.1,::1")
    spare_loopback(environment)
    assert environment["NO_PROXY"] == "a.example,localhost,127.0.0.1,::1"


def test_a_host_behind_a_proxy_that_cannot_be_used_is_not_asked_past_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://name:secret@127.0.0.1:9050")

    async def ask() -> None:
        async with Fetcher(Crawl(contact="mailto:us@lab.example")) as fetcher:
            await fetcher.rules("http://photos.example/")

    with pytest.raises(
        SourceError, match=r"photos\.example is to be asked through socks5://.*only http prox"
    ) as caught:
        asyncio.run(ask())
    assert "secret" not in str(caught.value)
