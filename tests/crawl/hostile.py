"""A server that answers as no server should, on an address of this machine for each case, and what must come of it.

Case `n` is asked at 127.0.1.<n>, so that each is a host of its own. The server listens at 127.0.9.9, too, and counts
who comes there: nobody may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from threading import Thread

JPEG = b"\xff\xd8\xff\xe0 a photo \xff\xd9"
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 40 + b"IEND\xaeB`\x82"
TIMEOUT_S = 1.5
FORBIDDEN = "127.0.9.9"

Writer = asyncio.StreamWriter
Act = Callable[[Writer, str], Awaitable[None]]


def raw(data: bytes) -> Act:
    """These very bytes, and the end of the connection."""

    async def act(writer: Writer, path: str) -> None:
        writer.write(data)

    return act


def http(
    code: int | str = 200, body: bytes = JPEG, *headers: str, length: int | None = None, reason: str = "OK"
) -> Act:
    """An answer with its length."""
    stated = len(body) if length is None else length
    lines = [f"HTTP/1.1 {code} {reason}", f"Content-Length: {stated}", "Connection: close", *headers]
    return raw("\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body)


def closing(body: bytes, *headers: str) -> Act:
    """An answer that ends with its connection."""
    lines = ["HTTP/1.1 200 OK", "Connection: close", *headers]
    return raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> Act:
    """An answer in chunks, as they are given."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    return raw(head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end)


def to(location: str) -> Act:
    """A redirect."""
    return http(302, b"", f"Location: {location}", reason="Found")


async def silence(writer: Writer, path: str) -> None:
    """Nothing, for longer than anybody waits."""
    await asyncio.sleep(30)


def dripping(first: bytes, more: bytes) -> Act:
    """A beginning, and a little more now and then, for ever."""

    async def act(writer: Writer, path: str) -> None:
        writer.write(first)
        while True:
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(more)

    return act


drip = dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n\xff\xd8\xff", b"x")
drip_headers = dripping(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n")


async def reset(writer: Writer, path: str) -> None:
    """The connection breaks in the middle of a body."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n\xff\xd8\xff")
    await writer.drain()
    writer.transport.abort()


async def endless(writer: Writer, path: str) -> None:
    """A body without end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + JPEG.ljust(0x10000, b"x") + b"\r\n")
        await writer.drain()


async def round_and_round(writer: Writer, path: str) -> None:
    """A redirect that adds to the path each time."""
    writer.write(f"HTTP/1.1 302 Found\r\nLocation: {path}x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


@dataclass(frozen=True)
class Case:
    """What a server does, and what its photo must end as: one of these."""

    name: str
    act: Act
    ends: tuple[str, ...]
    path: str = "/photo.jpg"
    robots: Act = field(default_factory=lambda: http(404, b""))
    tdmrep: Act = field(default_factory=lambda: http(404, b""))


class Server:
    """Serves all cases from a thread; `asked` are requests as (address, path), `forbidden` counts what must not be."""

    def __init__(self, served: list[Case]) -> None:
        self.asked: list[tuple[str, str]] = []
        self.forbidden = 0
        self._by_address = {f"127.0.1.{number}": case for number, case in enumerate(served, start=1)}
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "0.0.0.0", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def url(self, address: str) -> str:
        """Of the photo of a case."""
        return f"http://{address}:{self.port}{self._by_address[address].path}"

    @property
    def addresses(self) -> dict[str, Case]:
        """Address -> case."""
        return self._by_address

    def close(self) -> None:
        """End it, with all connections."""

        async def end() -> None:
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        address = writer.get_extra_info("sockname")[0]
        case = self._by_address.get(address)
        try:
            if case is None:
                self.forbidden += 1
                return
            request = await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ", 2)[1].decode("latin-1")
            self.asked.append((address, path))
            act = {"/robots.txt": case.robots, "/.well-known/tdmrep.json": case.tdmrep}.get(path, case.act)
            await act(_Filled(writer, self.port), path)  # type: ignore[arg-type]
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


class _Filled:
    """A writer that knows the port."""

    def __init__(self, writer: Writer, port: int) -> None:
        self._writer = writer
        self._port = str(port).encode()

    def write(self, data: bytes) -> None:
        self._writer.write(data.replace(b"PORT", self._port) if len(data) < 2000 else data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._writer, name)
