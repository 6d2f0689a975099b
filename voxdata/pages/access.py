"""Who may ask a page's server: the holder of the token, from the page itself.

- The token is in the address that the command prints. The page sends it with every write in a header of its own
  (`token_header`), which no other site can set without a CORS permission that this server never gives. Reads may carry
  it in a cookie (HttpOnly, SameSite=Strict) instead, because images cannot send headers.
- A request must name this machine in `Host`: another site's name that was pointed here (DNS rebinding) is refused.
- `Origin` must be the server's own, and `Sec-Fetch-Site` must not be another site, another port included.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from voxdata.format.errors import PageError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' blob:; media-src 'self' blob:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class RefusedError(PageError):
    """A request that must not be answered."""


def token_header(command: str) -> str:
    """The header in which the page of `voxdata <command>` sends its token."""
    return f"X-{command.title()}-Token"


class Gate:
    """The checks, for `voxdata <command>` that listens on `host`. All methods raise `RefusedError`."""

    def __init__(self, token: str, host: str, command: str) -> None:
        self._token = token.encode()
        self._command = command
        self._loopback = is_loopback(host)
        self._names = LOOPBACK_NAMES if self._loopback else LOOPBACK_NAMES | _own_names(host)

    def check_address(self, host: str, headers: Mapping[str, str], *, opens_page: bool) -> None:
        """The request is for this machine and comes from the page; `opens_page` may be a link on another site."""
        name = _hostname(host)
        if name not in self._names and (self._loopback or not _is_address(name)):
            raise RefusedError(f"this server is not {name!r}; open the address that voxdata {self._command} printed")
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise RefusedError(f"requests from {origin} are refused: only the page itself may ask")
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and not opens_page:
            raise RefusedError("requests from another site are refused")

    def check_read(self, header: str | None, cookie: str | None) -> None:
        """A read has the token in its header or cookie."""
        if not (self.is_token(header) or self.is_token(cookie)):
            raise RefusedError(f"the token is missing or wrong; open the address that voxdata {self._command} printed")

    def check_write(self, header: str | None) -> None:
        """A write has the token in its header: a cookie is not enough."""
        if not self.is_token(header):
            raise RefusedError(f"a write needs the token in the header {token_header(self._command)}")

    def is_token(self, given: str | None) -> bool:
        """Whether this is the token, in a time that tells nothing."""
        return given is not None and hmac.compare_digest(given.encode(), self._token)


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine only."""
    if host == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback


def _own_names(host: str) -> frozenset[str]:
    return frozenset({host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()})


def _hostname(host: str) -> str:
    """The name in a Host header, without the port; empty where it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
