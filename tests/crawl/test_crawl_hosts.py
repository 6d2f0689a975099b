"""The pace of a host, what is remembered of it, the budget of memory, and proxies."""

from __future__ import annotations

import asyncio

import pytest

from voxdata.crawl.fetch import Fetcher
from voxdata.crawl.hosts import ApiLimits, Host, Hosts
from voxdata.crawl.memory import Memory
from voxdata.crawl.signals import Rules
from voxdata.format.errors import SourceError
from voxdata.recipe.crawl import Crawl
from voxdata.store.proxies import proxy_for, spare_loopback, usable


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
