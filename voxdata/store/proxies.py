"""Proxies, by the usual environment variables, and never for this machine's own servers."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import MutableMapping
from urllib.request import getproxies, proxy_bypass

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def proxy_for(scheme: str, host: str, port: int) -> str | None:
    """The proxy through which a host is to be asked; None: directly. Only proxies that are reached by http or https."""
    if is_this_machine(host) or proxy_bypass(host) or proxy_bypass(f"{host}:{port}"):
        return None
    found = getproxies()
    proxy = found.get(scheme) or found.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    return proxy if proxy.startswith(("http://", "https://")) else None


def is_this_machine(host: str) -> bool:
    """Whether a host is this machine by number or as `localhost`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().removesuffix(".") == "localhost"


def spare_loopback(environment: MutableMapping[str, str] = os.environ) -> None:
    """Keep every client of this process and of its children from asking our own servers through a proxy."""
    for name in ("NO_PROXY", "no_proxy"):
        spared = [part.strip() for part in environment.get(name, "").split(",") if part.strip()]
        if "*" not in spared:
            environment[name] = ",".join([*spared, *(each for each in LOOPBACK if each not in spared)])
