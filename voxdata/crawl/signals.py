"""What owners say about machines that would take their pages and photos: robots.txt and the opt-outs.

The opt-outs are each a name in `crawl.opt_outs`; what is found is told in words that a row keeps.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from voxdata.crawl.robots import Robots, matches
from voxdata.format.json_text import read_json

HEAD_BYTES = 64 << 10  # of a page, in which its <meta> must stand
TAG_BYTES = 2048  # of one <meta>
TDMREP = "/.well-known/tdmrep.json"
TAGS = ("noai", "noimageai", "noindex", "noimageindex")  # of X-Robots-Tag and <meta name=robots>

_ATTRIBUTE = re.compile(r"""([a-z-]+)\s{0,8}=\s{0,8}(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a host's robots.txt says to us. `agents` are our own name and those whose rules we keep, too."""

    text: str
    agents: tuple[str, ...]
    detail: str = "robots.txt"
    reservations: Sequence[tuple[str, bool]] = ()  # of tdmrep.json: a pattern of paths, and whether it is reserved
    sitemaps: tuple[str, ...] = field(init=False, default=())
    delay_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        robots = Robots(self.text)
        object.__setattr__(self, "_robots", robots)
        object.__setattr__(self, "_signals", [said for agent in self.agents for said in robots.signals(agent)])
        object.__setattr__(self, "sitemaps", tuple(robots.sitemaps))
        object.__setattr__(self, "delay_s", max(robots.delay_s(agent) for agent in self.agents))

    def allow(self, target: str) -> bool:
        """Whether a path and query may be asked for, by every name that we go by."""
        robots: Robots = self._robots  # type: ignore[attr-defined]
        return all(robots.allow(f"/{target}", agent) for agent in self.agents)

    def opt_out(self, target: str, honoured: Collection[str]) -> str | None:
        """The opt-out that a path and query stand under by what is said of the whole host; None for none."""
        path = f"/{target}"
        if "content-signal" in honoured:
            for pattern, said in self._signals:  # type: ignore[attr-defined]
                if matches(pattern, path) and said.get("ai-train") == "no":
                    return "content-signal: ai-train=no"
        if "tdmrep" in honoured:
            for pattern, reserved in self.reservations:
                if matches(pattern, path):
                    return f"tdmrep.json: {pattern}" if reserved else None
        return None


def read_reservations(data: bytes) -> list[tuple[str, bool]]:
    """Pattern -> whether text and data mining is reserved there, of a tdmrep.json; nothing where it is not one."""
    try:
        listed = read_json(data)
    except ValueError:
        return []
    entries = listed if isinstance(listed, list) else [listed]
    return [
        (entry["location"][:TAG_BYTES], str(entry.get("tdm-reservation")) == "1")
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("location"), str)
    ]


def header_opt_out(headers: Mapping[str, str], honoured: Collection[str]) -> str | None:
    """The opt-out in the headers of an answer (keys in lower case, several values joined by commas)."""
    tag = _tag(headers.get("x-robots-tag", ""), honoured)
    if tag is not None:
        return f"X-Robots-Tag: {tag}"
    if "tdm-reservation" in honoured and headers.get("tdm-reservation", "").split(",")[0].strip() == "1":
        return "tdm-reservation: 1"
    return None


def meta_opt_out(page: bytes, honoured: Collection[str]) -> str | None:
    """The opt-out that a page states in its head, `<meta name=robots>` or tdm-reservation; in linear time."""
    for attributes in _metas(page[:HEAD_BYTES]):
        name, content = attributes.get("name", ""), attributes.get("content", "")
        if name == "robots" and "meta-robots" in honoured:
            tag = _tag(content, honoured)
            if tag is not None:
                return f"meta robots: {tag}"
        if name == "tdm-reservation" and "tdm-reservation" in honoured and content.strip() == "1":
            return "meta tdm-reservation: 1"
    return None


def _tag(text: str, honoured: Collection[str]) -> str | None:
    """Which honoured tag a list of tags has, for whichever crawler; `none` is noindex with nofollow."""
    for word in text.lower().replace(":", ",").split(","):
        tag = "noindex" if word.strip() == "none" else word.strip()
        if tag in TAGS and tag in honoured:
            return tag
    return None


def _metas(page: bytes) -> Iterator[Mapping[str, str]]:
    lower = page.lower()
    end = lower.find(b"<body")
    at, end = 0, len(lower) if end < 0 else end
    while True:
        tag, comment = lower.find(b"<meta", at, end), lower.find(b"<!--", at, end)
        if tag < 0:
            return
        if 0 <= comment < tag:
            closed = lower.find(b"-->", comment + 4, end)
            if closed < 0:
                return
            at = closed + 3
            continue
        closed = lower.find(b">", tag, min(end, tag + TAG_BYTES))
        if closed < 0:
            at = tag + 5
            continue
        text = lower[tag + 5 : closed].decode("latin-1")
        yield {found[1]: found[2] or found[3] or found[4] or "" for found in _ATTRIBUTE.finditer(text)}
        at = closed + 1
