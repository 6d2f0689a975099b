"""Proxies, by the usual environment variables, and never for this machine's own servers."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import MutableMapping
from urllib.request import getproxies, proxy_bypass

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def proxy_for(scheme: str, host: str, port: int) -> str | None:
    """The proxy through which a host is to be asked; None: directly. `usable` says whether we can ask through it."""
    if is_this_machine(host) or proxy_bypass(host) or proxy_bypass(f"{host}:{port}"):
        return None
    found = getproxies()
    proxy = found.get(scheme) or found.get("all")
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def usable(proxy: str) -> bool:
    """Whether a proxy is reached by http or https; one that speaks SOCKS is not, and going past it would be silent."""
    return proxy.startswith(("http://", "https://"))


def is_this_machine(host: str) -> bool:
    """Whether a host is this machine by number or as `localhost`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().removesuffix(".") == "localhost"


def spare_loopback(environment: MutableMapping[str, str] = os.environ) -> None:
    """Keep every client of this process and of its children from asking our own servers through a proxy.

    A proxy of the environment stays in force for every other host. Clients read one spelling of NO_PROXY or the other,
    the lower case first, so both say the same afterwards.
    """
    stated = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    spared = dict.fromkeys([*(part.strip() for part in stated.split(",") if part.strip()), *LOOPBACK])
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = "*" if "*" in spared else ",".join(spared)
