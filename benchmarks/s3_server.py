"""An S3 server for `s3_requests.py` and tests: moto, with a pause before each answer, and a log of requests.

    python benchmarks/s3_server.py LATENCY_S      prints its port, ends with its standard input

`GET /-/seen` answers with what was asked since it was last asked for, as JSON, and forgets it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

SEEN = "/-/seen"


class Watched:
    """A WSGI application that answers later, and counts."""

    def __init__(self, app: Callable[..., Iterable[bytes]], latency_s: float) -> None:
        self._app = app
        self._latency_s = latency_s
        self._lock = threading.Lock()
        self._requests: list[dict[str, Any]] = []
        self._flying = self._most = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == SEEN:
            return self._told(start_response)
        with self._lock:
            self._flying += 1
            self._most = max(self._most, self._flying)
        try:
            time.sleep(self._latency_s)
            answer = b"".join(self._app(environ, start_response))
        finally:
            with self._lock:
                self._flying -= 1
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        method = environ["REQUEST_METHOD"]
        kind = "LIST" if method == "GET" and {"list-type", "prefix", "uploads"} & set(query) else method
        sent = environ.get("HTTP_X_AMZ_DECODED_CONTENT_LENGTH") or environ.get("CONTENT_LENGTH") or 0
        seen = {
            "kind": kind,
            "key": environ["PATH_INFO"],
            "prefix": query.get("prefix", [""])[0],
            "range": environ.get("HTTP_RANGE", ""),
            "sent": int(sent),
            "got": 0 if kind in ("LIST", "HEAD") else len(answer),
        }
        with self._lock:
            self._requests.append(seen)
        return [answer]

    def _told(self, start_response: Callable[..., Any]) -> list[bytes]:
        with self._lock:
            told = json.dumps({"requests": self._requests, "most": self._most}).encode()
            self._requests, self._most = [], 0
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(told)))])
        return [told]


@contextmanager
def watched(latency_s: float) -> Iterator[int]:
    """The port of a server in a thread of this process."""
    app = Watched(DomainDispatcherApplication(create_backend_app), latency_s)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()


def serve(latency_s: float) -> None:
    """Serve until standard input ends."""
    with watched(latency_s) as port:
        print(port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    serve(float(sys.argv[1]))
