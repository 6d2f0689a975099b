"""What owners say about machines that would take their pages and photos: robots.txt and the opt-outs.

The opt-outs are each a name in `crawl.opt_outs`; what is found is told in words that a row keeps.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from voxdata.crawl.markup import decoded, page_tags
from voxdata.crawl.robots import (
    Robots,
    matches,
    names_product,
    normal,
    pattern_of,
    product_of,
    stated_usage,
    training_refused,
)
from voxdata.format.json_text import read_json

PATTERN_LETTERS = 2048  # of one pattern in tdmrep.json
USAGE = "content-usage"  # a header, and a line of robots.txt
TDMREP = "/.well-known/tdmrep.json"
EVERYTHING = ("/*", True)  # what a tdmrep.json that cannot be read reserves
_RESERVES = re.compile(rb"tdm[-_]?reservation", re.IGNORECASE)
_PAGE = re.compile(rb"<(?:!doctype|html|head|body|meta)[\s>]", re.IGNORECASE)
_WORD = re.compile(r"[\w-]+|[,;:=\uff1a\uff1d]")  # the last two are those of Chinese and Japanese keyboards
_NAME = re.compile(r"[^\s,;|\"'`\u200b-\u200f\u2018-\u201f\u2060\ufeff]+")
_NAMES = ("name", "property", "http-equiv")  # where a meta has its name
_AROUND = " \t\r\n\"'`/\u200b\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2060\ufeff"  # what a value stands in
_LIMIT = re.compile(r"max-|unavailable_after$")
TAGS = ("noai", "noimageai", "noindex", "noimageindex")  # of X-Robots-Tag and <meta name=robots>


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a host's robots.txt says to us. `agents` are our own name and those whose rules we keep, too.

    Of whole URLs in place of paths those of `host`, a name or an origin, count.
    """

    text: str
    agents: tuple[str, ...]
    host: str = ""
    detail: str = "robots.txt"
    reservations: Sequence[tuple[str, bool]] = ()  # of tdmrep.json: a pattern of paths, and whether it is reserved
    sitemaps: tuple[str, ...] = field(init=False, default=())
    delay_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        robots = Robots(self.text, self.host)
        object.__setattr__(self, "_robots", robots)
        object.__setattr__(self, "_signals", [said for agent in self.agents for said in robots.signals(agent)])
        stated = [(pattern_of(each, self.host), each, reserved) for each, reserved in self.reservations]
        object.__setattr__(self, "_reserved", [entry for entry in stated if entry[0] is not None])
        object.__setattr__(self, "sitemaps", tuple(robots.sitemaps))
        object.__setattr__(self, "delay_s", max(robots.delay_s(agent) for agent in self.agents))

    def allow(self, target: str) -> bool:
        """Whether a path and query may be asked for, by every name that we go by."""
        robots: Robots = self._robots  # type: ignore[attr-defined]
        return all(robots.allow(f"/{target}", agent) for agent in self.agents)

    def opt_out(self, target: str, honoured: Collection[str]) -> str | None:
        """The opt-out that a path and query stand under by what is said of the whole host; None for none."""
        path = normal(f"/{target}")
        if "content-signal" in honoured:
            for pattern, said in self._signals:  # type: ignore[attr-defined]
                if matches(pattern, path) and said.get("ai-train") == "no":
                    return "content-signal: ai-train=no"
            robots: Robots = self._robots  # type: ignore[attr-defined]
            if any(robots.refuses_training(path, agent) for agent in self.agents):
                return f"{USAGE}: train-ai=n"
        if "tdmrep" in honoured:
            for pattern, as_stated, reserved in self._reserved:  # type: ignore[attr-defined]
                if matches(pattern, path):
                    return f"tdmrep.json: {as_stated}" if reserved else None
        return None


def read_reservations(data: bytes) -> list[tuple[str, bool]] | None:
    """Location -> whether text and data mining is reserved there, of a tdmrep.json, in its order.

    Nothing where it is another thing, such as a page that says that there is none; None where it cannot be read and yet
    speaks of reservations. One without a location is for the whole host, one with several for each of them.
    """
    try:
        listed = read_json(data)
    except ValueError:
        bare = data.replace(b"\0", b"")  # of UTF-16
        return None if _RESERVES.search(bare) and not _PAGE.search(bare) else []
    found: list[tuple[str, bool]] = []
    pending = [listed]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending.extend(reversed(each))
        elif isinstance(each, dict):
            entry = {name.strip().lower().replace("_", "-"): value for name, value in each.items()}
            if "location" in entry or "tdm-reservation" in entry:
                reserved = _is_one(entry.get("tdm-reservation"))
                found += [(location, reserved) for location in _locations(entry.get("location"), reserved=reserved)]
            else:
                pending.extend(reversed(each.values()))
    return found


def _locations(stated: object, *, reserved: bool) -> list[str]:
    """What an entry is for; one whose location is no text is for the whole host where it reserves, else for nothing."""
    found = []
    for each in stated or [None] if isinstance(stated, list) else [stated]:
        if isinstance(each, str):
            found.append(" ".join(each.split())[:PATTERN_LETTERS] or "/")  # on one line, as it is remembered
        elif each is None or reserved:
            found.append("/")
    return found


def header_opt_out(headers: Mapping[str, str], honoured: Collection[str]) -> str | None:
    """The opt-out in the headers of an answer (keys in lower case, several values joined by commas)."""
    tag = _tag(headers.get("x-robots-tag", ""), honoured)
    if tag is not None:
        return f"X-Robots-Tag: {tag}"
    if "tdm-reservation" in honoured and _is_one(headers.get("tdm-reservation", "").split(",")[0]):
        return "tdm-reservation: 1"
    if "content-signal" in honoured and training_refused(stated_usage(headers.get(USAGE, ""))):
        return f"{USAGE}: train-ai=n"
    return None


def page_opt_out(page: bytes, charset: str | None, honoured: Collection[str], agents: Sequence[str] = ()) -> str | None:
    """The opt-out that a page states in a `<meta>`, robots or tdm-reservation, wherever in it; in linear time.

    `charset` is what the HTTP header says. A `<meta>` may name one of `agents` in place of robots, as groups of
    robots.txt do; in `name` or, as owners do, in `property` or `http-equiv`, among others and in quotes.
    """
    products = ["robots", "x-robots-tag", *map(product_of, agents)]
    for tag in page_tags(decoded(page, charset)):
        if tag.name != "meta":
            continue
        names = [name for key in _NAMES for name in _NAME.findall(tag.attributes.get(key, "").lower())]
        content = tag.attributes.get("content", "")
        product = next((each for each in products if any(names_product(name, each) for name in names)), None)
        if product is not None and "meta-robots" in honoured:
            said = _tag(content, honoured)
            if said is not None:
                return f"meta {product}: {said}"
        reserves = any(name.replace("_", "-") == "tdm-reservation" for name in names)
        if reserves and "tdm-reservation" in honoured and _is_one(content):
            return "meta tdm-reservation: 1"
    return None


def _is_one(stated: object) -> bool:
    """Whether a tdm-reservation is 1, the only value that reserves, in the spellings that owners write."""
    if isinstance(stated, str):
        return stated.partition(";")[0].strip(_AROUND).lower() in ("1", "1.0", "true", "yes")
    return isinstance(stated, int | float) and stated == 1  # and true


def _tag(text: str, honoured: Collection[str]) -> str | None:
    """Which honoured tag a list of tags has, for whichever crawler; `none` is noindex with nofollow.

    The standards part tags with commas; owners use whatever is no letter, and quotes, and mean the same. The value of a
    limit is no tag: `max-image-preview:none` allows everything but previews.
    """
    words = _WORD.findall(text.lower())
    for at, word in enumerate(words):
        if at >= 2 and words[at - 1] in ":=\uff1a\uff1d" and _LIMIT.match(words[at - 2]):
            continue
        tag = "noindex" if word == "none" else word
        if tag in TAGS and tag in honoured:
            return tag
    return None
