"""A web server for `crawl_throughput.py`: photos at many addresses of this machine, and what it saw of its callers.

It runs in a process of its own. A host is an address `127.0.x.y` at the server's port; what a host does is set from
outside. Loopback has no distance, so the server adds it: `latency_s` is the round trip that each request takes, and
`handshake_s` the one that TCP takes before the first request of a connection can be sent. The kernel has shaken hands
before the server hears of a connection, so that its first answer waits for both.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

PHOTO_BYTES = 12_000
_MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What hosts do: how long an answer takes, how large a photo is, and whether they fail or ask to wait."""

    latency_s: float = 0.0
    handshake_s: float = 0.0  # more, for the first answer of a connection
    photo_bytes: int = PHOTO_BYTES
    fails: bool = False
    busy_every: int = 0  # each so many requests of a host are answered with 429
    retry_after_s: int = 0


@dataclass(frozen=True)
class Seen:
    """A request, as the server saw it. Times are of `time.monotonic()`, which all processes share."""

    host: str
    path: str
    began: float
    ended: float
    status: int
    sent: int
    conditional: bool


class Served:
    """Starts the server; `take` returns what it saw since the last call."""

    def __init__(self) -> None:
        self._pipe, far = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=_run, args=(far,), daemon=True)
        self._process.start()
        self.port: int = self._pipe.recv()

    def behave(self, usual: Behaviour, of_hosts: Mapping[str, Behaviour] | None = None) -> None:
        """Set what all hosts do, and what single ones do instead; what was seen is forgotten."""
        self._pipe.send((usual, dict(of_hosts or {})))
        self._pipe.recv()

    def take(self) -> list[Seen]:
        """What was seen, oldest first."""
        self._pipe.send("take")
        seen: list[Seen] = self._pipe.recv()
        return sorted(seen, key=lambda each: each.began)

    def count(self) -> int:
        """How many photos were asked for since the last `take`."""
        self._pipe.send("count")
        count: int = self._pipe.recv()
        return count

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()


class _State:
    def __init__(self) -> None:
        self.usual = Behaviour()
        self.of_hosts: dict[str, Behaviour] = {}
        self.seen: list[Seen] = []
        self.photos = 0
        self.asked: dict[str, int] = {}


class _Host(asyncio.Protocol):
    """One connection: plain HTTP/1.1 requests without a body, one after another."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._data = b""
        self._shaken = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._host = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        self._data += data
        while b"\r\n\r\n" in self._data:
            head, _, self._data = self._data.partition(b"\r\n\r\n")
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        began = time.monotonic()
        path = head.split(b" ", 2)[1].decode("latin-1")
        does = self._state.of_hosts.get(self._host, self._state.usual)
        conditional = b"\nif-none-match:" in head.lower()
        status, answer = self._made(path, does, conditional)
        takes_s = does.latency_s if self._shaken else does.latency_s + does.handshake_s
        self._shaken = True
        if takes_s:
            asyncio.get_running_loop().call_later(takes_s, self._send, path, began, status, answer, conditional)
        else:
            self._send(path, began, status, answer, conditional)

    def _made(self, path: str, does: Behaviour, conditional: bool) -> tuple[int, bytes]:
        if does.fails:
            return 500, b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"
        if not path.endswith(".jpg"):
            return 404, _MISSING
        asked = self._state.asked[self._host] = self._state.asked.get(self._host, 0) + 1
        if does.busy_every and asked % does.busy_every == 0:
            line = f"HTTP/1.1 429 Slow\r\nRetry-After: {does.retry_after_s}\r\nContent-Length: 0\r\n\r\n"
            return 429, line.encode()
        if conditional:
            return 304, b'HTTP/1.1 304 Same\r\nETag: "1"\r\nContent-Length: 0\r\n\r\n'
        about = f"{self._host}{path}".encode()
        body = b"\xff\xd8\xff\xe0" + about.ljust(does.photo_bytes, b"x") + b"\xff\xd9"
        headers = f'Content-Type: image/jpeg\r\nETag: "1"\r\nContent-Length: {len(body)}'
        return 200, b"HTTP/1.1 200 OK\r\n" + headers.encode() + b"\r\n\r\n" + body

    def _send(self, path: str, began: float, status: int, answer: bytes, conditional: bool) -> None:
        self._transport.write(answer)
        self._state.photos += path.endswith(".jpg")
        self._state.seen.append(Seen(self._host, path, began, time.monotonic(), status, len(answer), conditional))


def _run(pipe: Connection) -> None:
    state = _State()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: _Host(state), "0.0.0.0", 0, backlog=1024))
    pipe.send(server.sockets[0].getsockname()[1])
    threading.Thread(target=_listen, args=(pipe, state), daemon=True).start()
    loop.run_forever()


def _listen(pipe: Connection, state: _State) -> None:
    while True:
        said = pipe.recv()
        if said == "take":
            taken, state.seen, state.photos = state.seen, [], 0
            pipe.send(taken)
        elif said == "count":
            pipe.send(state.photos)
        else:
            state.usual, state.of_hosts = said
            state.seen, state.asked, state.photos = [], {}, 0
            pipe.send(None)
