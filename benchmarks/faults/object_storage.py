"""A bucket of an S3 server on loopback, behind a proxy that can be cut, be slow, and answer for the server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path

import fsspec

from .places import Place, content

_numbers = count()  # the server's buckets outlive it


class OnS3(Place):
    """A bucket of its own; every process of a build reaches it through the proxy alone."""

    def __init__(self, folder: Path, corpus: Path) -> None:
        from moto.server import ThreadedMotoServer

        self._bucket = f"chaos-{next(_numbers)}"
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        port = self._server.get_host_and_port()[1]
        self.proxy = Proxy(port)
        super().__init__(folder, corpus)
        keys = {"key": "x", "secret": "x", "client_kwargs": {"region_name": "us-east-1"}}
        endpoint = f"http://127.0.0.1:{port}"
        self._files = fsspec.filesystem("s3", endpoint_url=endpoint, skip_instance_cache=True, **keys)
        self._files.call_s3("create_bucket", Bucket=self._bucket)

    @property
    def root(self) -> str:
        return f"s3://{self._bucket}/root"

    @property
    def environment(self) -> dict[str, str]:
        aws = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
        return {**super().environment, **aws, "AWS_ENDPOINT_URL": self.proxy.url}

    def content(self) -> dict[str, str]:
        return content({key: self._files.cat_file(f"{self._root}/{key}") for key in self.written()})

    def written(self) -> list[str]:
        self._files.invalidate_cache()
        found = self._files.find(self._root, detail=True)
        return [
            key.removeprefix(f"{self._root}/")
            for key in sorted(found, key=lambda key: (found[key]["LastModified"], key))
        ]

    def cut_short(self, key: str, share: float) -> None:
        path = f"{self._root}/{key}"
        whole = self._files.cat_file(path)
        self._files.pipe_file(path, whole[: int(share * len(whole))])

    def heal(self) -> None:
        super().heal()
        self.proxy.mend()

    def close(self) -> None:
        self.proxy.cut()
        self._server.stop()
        super().close()

    @property
    def _root(self) -> str:
        return f"{self._bucket}/root"


class Proxy:
    """Hands TCP connections on to a port of this machine.

    While it is cut, nobody listens; while it `answers`, every request is answered by it, and the server hears of none.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._sockets: set[socket.socket] = set()
        self._listening: socket.socket | None = None
        self._answer = b""
        self._pause_s = 0.0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.mend()

    def mend(self) -> None:
        """Listen, and hand everything on at once."""
        if self._answer:
            self.reset()
        self._answer, self._pause_s = b"", 0.0
        if self._listening is None:
            self._listening = socket.create_server(("127.0.0.1", self._port), backlog=64)
            threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        """Listen no more, and end what goes through."""
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        self.reset()

    def reset(self) -> None:
        """End what goes through, in the middle of it."""
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def answer(self, status: str, code: str) -> None:
        """Answer every request with an error of S3."""
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{status}</Message></Error>".encode()
        head = {"Content-Type": "application/xml", "Content-Length": str(len(body)), "Connection": "close"}
        self._answer = _head(f"HTTP/1.1 {status}", head) + body
        self.reset()

    def slow_down(self, pause_s: float) -> None:
        """Hand every piece of a request on later."""
        self._pause_s = pause_s

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                if self._answer:
                    threading.Thread(target=self._tell, args=(client, self._answer), daemon=True).start()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets |= {client, server}
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _tell(self, client: socket.socket, answer: bytes) -> None:
        with suppress(OSError), client:
            client.settimeout(5)
            heard = b""
            while b"\r\n\r\n" not in heard and (data := client.recv(1 << 16)):
                heard += data
            client.sendall(answer)

    def _pump(self, source: socket.socket, sink: socket.socket, asks: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                time.sleep(self._pause_s if asks else 0.0)
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
            self._sockets.discard(each)


def _head(first: str, fields: Mapping[str, str]) -> bytes:
    return "".join(
        f"{line}\r\n" for line in [first, *(f"{name}: {value}" for name, value in fields.items()), ""]
    ).encode()
