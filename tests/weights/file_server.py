"""A real HTTP server on loopback that serves bytes, knows Range, and fails as it is told."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Enter = Callable[..., None]
"""Adds an entry to the registry of a test, see conftest.py."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What the server does to one request instead of serving it well."""

    status: int | None = None
    drop_after: int | None = None  # bytes of the body, then the connection ends
    ignore_range: bool = False
    no_length: bool = False
    silent: bool = False  # no answer until the server ends
    redirect: str | None = None


class FileServer:
    """Serves `files` by path; each request takes the next of `faults`. `requests` holds (path, Range header)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str | None]] = []
        self.sent = 0
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def add(self, path: str, data: bytes) -> str:
        """Serve bytes; returns their url."""
        self.files[path] = data
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"


def _handler(site: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            site.requests.append((self.path, self.headers.get("Range")))
            fault = site.faults.pop(0) if site.faults else Fault()
            if fault.silent:
                site.ended.wait(10)
                self.close_connection = True
            elif fault.redirect is not None:
                self.send_response(302)
                self.send_header("Location", fault.redirect)
                self.end_headers()
            elif fault.status is not None or self.path not in site.files:
                self.send_error(fault.status or 404)
            else:
                self.serve(site.files[self.path], fault)

        def serve(self, data: bytes, fault: Fault) -> None:
            start = 0
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if asked and not fault.ignore_range:
                start = int(asked[1])
                if start >= len(data):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(data)}")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(200)
            body = data[start:]
            if not fault.no_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            sent = body if fault.drop_after is None else body[: fault.drop_after]
            self.wfile.write(sent)
            site.sent += len(sent)
            self.close_connection = True

    return Handler
