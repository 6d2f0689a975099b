"""Which urls are asked at all, how they are written, and which addresses a connection may be opened to.

A crawler runs inside somebody's network and follows links that strangers wrote. So a url is http or https, holds no
user name and spells its host plainly, and every address is checked when the connection is made, after the name was
resolved: private, loopback, link-local, multicast and reserved ones, the addresses of cloud metadata, and IPv6 forms
that carry one of these are refused, unless the recipe names the host (`crawl.private_addresses`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote_from_bytes, urljoin, urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from aiohttp.abc import AbstractResolver, ResolveResult

from voxdata.store.rows import clean

PORTS = {"http": 80, "https": 443}
MAX_URL = 8000  # letters; servers refuse longer ones
MAX_HOST, MAX_LABEL = 253, 63  # letters; no name server knows longer names
RESOLVERS = 16  # names that are looked up at once

_METADATA = frozenset({"168.63.129.16", "192.0.0.192"})  # public by number, but clouds' own machines for their guests
_CARRIERS = (
    ipaddress.ip_network("64:ff9b::/96"),
    ipaddress.ip_network("::/96"),
)  # IPv6 with an IPv4 address at its end
# Most urls are plain already: a name of letters, no port, nothing that would have to be escaped.
_PLAIN_URL = r"^(https?)://((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24})(/[!$-;=?-Z_a-z~%\[\]]*)"
_PLAIN = re.compile(rf"{_PLAIN_URL}\Z")
_PLAIN_RE2 = rf"{_PLAIN_URL}\z"  # the same, as Arrow wants it
_NUMERIC = re.compile(r"(?:\d+|0x[0-9a-f]*)\Z")
# Everything that may stand in a url as it is; a percent sign stays, so that what is escaped is sent as it was written.
_AS_WRITTEN = "%/?:@!$&'()*+,;=-._~[]"

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefusedError(OSError):
    """A connection to this address is not opened."""


class UrlRefusedError(ValueError):
    """A url that is not asked for, with the reason."""


@dataclass(frozen=True, slots=True)
class Address:
    """A url as it is sent, and the host that it leads to: `origin` is the same however the host is spelled."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        """Scheme, host and port: what one host is to a polite crawler."""
        return (
            f"{self.scheme}://[{self.host}]:{self.port}"
            if ":" in self.host
            else f"{self.scheme}://{self.host}:{self.port}"
        )

    @property
    def target(self) -> str:
        """Path and query."""
        return self.url.split("/", 3)[3] if self.url.count("/") > 2 else ""


def are_plain(urls: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which of many urls are plain (`_plain`): they stay as they are written."""
    try:
        texts = pa.array(urls, pa.string())
    except UnicodeError:
        texts = pa.array([url if url.isascii() else None for url in urls], pa.string())
    short = pc.less_equal(pc.binary_length(texts), MAX_URL)
    plain: npt.NDArray[np.bool_] = (
        pc.and_(short, pc.match_substring_regex(texts, _PLAIN_RE2)).fill_null(False).to_numpy(zero_copy_only=False)
    )
    may_have_long_host = pc.greater(pc.binary_length(texts), MAX_HOST).fill_null(False).to_numpy(zero_copy_only=False)
    for place in np.flatnonzero(plain & may_have_long_host).tolist():
        plain[place] = _plain(urls[place]) is not None
    return plain


def urls_and_origins(urls: Sequence[str]) -> tuple[list[str], list[str], dict[int, UrlRefusedError]]:
    """Url and origin of `read_address` for many urls; what is refused stays as it is, has no origin, and its place has
    the reason."""
    sent, origins, refused = list(urls), [""] * len(urls), dict[int, UrlRefusedError]()
    for place, (url, plain) in enumerate(zip(urls, are_plain(urls).tolist(), strict=True)):
        if plain:
            origins[place] = _plain_origin(url[: url.index("/", len("https://"))])
            continue
        try:
            address = read_address(url)
            sent[place], origins[place] = address.url, address.origin
        except UrlRefusedError as error:
            refused[place] = error
    return sent, origins, refused


@lru_cache(maxsize=1 << 16)
def _plain_origin(begins: str) -> str:
    """The origin of a plain url that begins so, with scheme and host."""
    return f"{begins}:{PORTS[begins.partition(':')[0]]}"


def read_address(url: str, base: str | None = None) -> Address:
    """A url, relative to `base` where one is given. Raises `UrlRefusedError` saying why it is not asked for."""
    plain = _plain(url) if base is None else None
    if plain is not None:
        return Address(url, plain[1], plain[2], PORTS[plain[1]])
    try:
        return _read_address(url if base is None else urljoin(base, url))
    except UrlRefusedError:
        raise
    except ValueError as error:
        raise UrlRefusedError(f"it is no url: {clean(str(error))}") from None


def _plain(url: str) -> re.Match[str] | None:
    """Scheme and host of a url that stays as it is written, which nearly all do."""
    match = _PLAIN.match(url) if len(url) <= MAX_URL else None
    return match if match is not None and len(match[2]) <= MAX_HOST else None


def _read_address(url: str) -> Address:
    parts = urlsplit(url.strip())
    scheme = parts.scheme.lower()
    if scheme not in PORTS:
        raise UrlRefusedError(f"only http and https are asked, and this is {clean(scheme)!r}")
    if "@" in parts.netloc:
        raise UrlRefusedError("it holds a user name")
    host = _plain_host(parts.hostname or "", parts.netloc)
    port = PORTS[scheme] if parts.port is None else parts.port
    if not 0 < port < 1 << 16:
        raise UrlRefusedError(f"there is no port {port}")
    path = _escaped(parts.path) or "/"
    query = f"?{_escaped(parts.query)}" if parts.query else ""
    shown = f"[{host}]" if ":" in host else host
    where = shown if port == PORTS[scheme] else f"{shown}:{port}"
    address = Address(f"{scheme}://{where}{path}{query}", scheme, host, port)
    if len(address.url) > MAX_URL:
        raise UrlRefusedError(f"it has {len(address.url)} letters, limit {MAX_URL}")
    return address


def _plain_host(host: str, netloc: str) -> str:
    """The host in lower case, names in ASCII. Raises `UrlRefusedError` for spellings that only confuse."""
    if not host or re.search(r"[\\%\s\x00-\x20]", netloc):
        raise UrlRefusedError("its host is not plainly written")
    if ":" in host:
        return str(ipaddress.IPv6Address(host))
    ascii_host = host if host.isascii() else host.encode("idna").decode("ascii")
    ascii_host = ascii_host.lower().removesuffix(".")
    if len(ascii_host) > MAX_HOST or not all(0 < len(label) <= MAX_LABEL for label in ascii_host.split(".")):
        raise UrlRefusedError("its host is no name")
    if _NUMERIC.match(ascii_host.rsplit(".", 1)[-1]):
        if host != ascii_host or str(_ipv4(ascii_host)) != ascii_host:
            raise UrlRefusedError("its host is an unusual spelling of an address")
    elif not re.fullmatch(r"[a-z0-9_.-]+", ascii_host):
        raise UrlRefusedError("its host is no name")
    return ascii_host


def _ipv4(text: str) -> IP | None:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        return None


def _escaped(text: str) -> str:
    return quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe=_AS_WRITTEN)


def is_public(address: str) -> bool:
    """Whether an IP address is a public one, also behind the IPv6 forms that carry an IPv4 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        inner += [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) for network in _CARRIERS if ip in network]
        if any(each is not None and not is_public(str(each)) for each in inner):
            return False
        ip = ip.ipv4_mapped or ip
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or str(ip) in _METADATA)


def is_loopback(host: str) -> bool:
    """Whether a host, as `Address` writes it, is this machine by its name or number."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class AddressBook(AbstractResolver):
    """Says which addresses may be connected to, and looks names up for the connections.

    `private` names what is not public and may be asked all the same: a host, `host:port`, an address or a network
    (`10.1.0.0/16`). `own` are urls that the recipe states: one whose host is this machine by number or as `localhost`
    names its host and port by that. `lookup` finds the addresses of a name.
    """

    def __init__(self, private: Iterable[str] = (), own: Iterable[str] = (), lookup: Lookup | None = None) -> None:
        self._named: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in private:
            try:
                self._networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                self._named.add(entry.lower().removesuffix("."))
        self._lookup = lookup or self._ask_system
        self._let: set[tuple[str, int]] = set()
        self._found: dict[str, str] = {}
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="names")
        for url in own:
            self.name(url)

    def name(self, url: str) -> None:
        """Let a url of the recipe be asked where it states this machine's own address."""
        try:
            address = read_address(url)
        except UrlRefusedError:
            return
        if is_loopback(address.host):
            self._named.add(f"{address.host}:{address.port}")

    def check(self, address: Address) -> None:
        """Refuse a url whose host is a number that may not be connected to. Raises `AddressRefusedError`."""
        try:
            ipaddress.ip_address(address.host)
        except ValueError:
            return
        self._pass(address.host, address.port, [address.host])

    def refuses(self, address: Address) -> bool:
        """Whether `check` does."""
        try:
            self.check(address)
        except AddressRefusedError:
            return True
        return False

    def found(self, host: str) -> str | None:
        """The first address of a host that was looked up."""
        return self._found.get(host)

    def is_named(self, address: Address) -> bool:
        """Whether the recipe lets a host be asked that is not on the public network."""
        return bool({address.host, f"{address.host}:{address.port}"} & self._named) or self._in_networks(address.host)

    def make_socket(self, found: tuple[Any, ...]) -> socket.socket:
        """The last gate, for every connection: a socket for this address. Raises `AddressRefusedError`."""
        family, kind, protocol, _, where = found
        if not (is_public(where[0]) or self._in_networks(where[0]) or (where[0], where[1]) in self._let):
            raise AddressRefusedError(f"{where[0]} is not a public address")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name that may be connected to. Raises `AddressRefusedError` where none may, `OSError`."""
        name = host.lower().removesuffix(".")
        passed = self._pass(name, port, await self._lookup(name, port))
        return [
            ResolveResult(
                hostname=host,
                host=ip,
                port=port,
                family=socket.AF_INET6 if ":" in ip else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for ip in passed
        ]

    async def close(self) -> None:
        """Nothing is open but the threads that look names up; one that hangs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _pass(self, host: str, port: int, found: Sequence[str]) -> list[str]:
        named = bool({host, f"{host}:{port}"} & self._named)
        passed = [ip for ip in found if named or is_public(ip) or self._in_networks(ip)]
        if not passed:
            where = "" if list(found) == [host] else f" is at {', '.join(found) or 'no address'}, and that"
            raise AddressRefusedError(
                f"{host}{where} is not a public address; to ask it all the same, name it: "
                f"--set crawl.private_addresses=[{host}]"
            )
        self._let.update((ip, port) for ip in passed)
        self._found[host] = passed[0]
        return passed

    def _in_networks(self, text: str) -> bool:
        if not self._networks:
            return False
        try:
            ip = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        return any(ip in network for network in self._networks if network.version == ip.version)

    async def _ask_system(self, host: str, port: int) -> list[str]:
        def ask() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(each[4][0]) for each in found))

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
