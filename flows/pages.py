"""Serving a local page from the command line: the token, what is said about the address, Ctrl-C."""

from __future__ import annotations

import asyncio
import secrets
import sys

from voxdata.pages.access import is_loopback
from voxdata.pages.local_server import Page, serve

TOKEN_BYTES = 24


def serve_page(page: Page, host: str, port: int, *, about: str, others: str) -> None:
    """Serve until Ctrl-C; the line with the address ends with `about`.

    `others` says what whoever has the address can do, for an address that other machines can reach.
    """
    if not is_loopback(host):
        print(f"--host {host}: other machines can reach the page, unencrypted; {others}", file=sys.stderr)

    def ready(url: str) -> None:
        print(f"{url} {about}", flush=True)

    asyncio.run(serve(page, secrets.token_urlsafe(TOKEN_BYTES), host, port, ready))
