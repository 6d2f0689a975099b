"""Licences of photos by one name each, as SPDX writes them, and which of them a recipe takes.

Sources say `CC BY-SA 4.0`, `by-sa` and `4.0`, or nothing but a link to the deed. A licence of Creative Commons is
known by its link first, because names are translated and abbreviated, then by its name; ports to a jurisdiction keep it
(`CC-BY-3.0-DE`). What has no SPDX name has one of the same form here (`public-domain`, `all-rights-reserved`); what is
not known at all stays as its source wrote it.
"""

from __future__ import annotations

import fnmatch
import functools
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

from voxdata.recipe.sources import PhotoSource
from voxdata.sources.kinds import PhotoOffer

PUBLIC_DOMAIN, ALL_RIGHTS_RESERVED = "public-domain", "all-rights-reserved"
CC0, MARK = "CC0-1.0", "CC-PDM-1.0"

logger = logging.getLogger(__name__)

_TERMS = ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd")
_DEED = re.compile(r"/(licenses|publicdomain)/([a-z-]+)/(\d\.\d)(?:/([a-z]{2})(?:/|$))?")
# As one writes them in names; `-` and `_` count as blanks. Versions such as "2.5,2.0" name the newest first.
_CC = re.compile(
    r"\b(?:cc|creative commons)(?: attribution)?((?: (?:by|nc|nd|sa))+)(?: (\d(?:\.\d)?))?(?: ([a-z]{2}))?\b"
)
_WORDS = {"attribution": "by", "noncommercial": "nc", "non commercial": "nc", "noderivs": "nd", "noderivatives": "nd"}
_WORDS |= {"no derivatives": "nd", "sharealike": "sa", "share alike": "sa"}
_NAMES = {
    "cc0": CC0,
    "cc zero": CC0,
    "cc0 1.0": CC0,
    "cc 0": CC0,
    "pdm": MARK,
    "pdm 1.0": MARK,
    "cc pdm": MARK,
    "cc pdm 1.0": MARK,
    "public domain mark": MARK,
    "public domain mark 1.0": MARK,
    "pd": PUBLIC_DOMAIN,
    "public domain": PUBLIC_DOMAIN,
    "no restrictions": PUBLIC_DOMAIN,
    "no known copyright restrictions": PUBLIC_DOMAIN,
    "united states government work": PUBLIC_DOMAIN,
    "all rights reserved": ALL_RIGHTS_RESERVED,
    "copyrighted": ALL_RIGHTS_RESERVED,
    "gfdl": "GFDL-1.2-or-later",
    "gfdl 1.2": "GFDL-1.2-only",
    "gfdl 1.3": "GFDL-1.3-only",
    "fal": "LAL-1.3",
    "mit": "MIT",
    "ogl 3": "OGL-UK-3.0",
    "ogl 3.0": "OGL-UK-3.0",
    "ogl v3": "OGL-UK-3.0",
    "attribution": "attribution",
    "copyrighted free use": "copyrighted-free-use",
}

Offer = TypeVar("Offer", bound=PhotoOffer)


@functools.lru_cache(maxsize=4096)  # a list of millions of photos names few licences
def licence_name(name: str | None, url: str | None = None) -> str | None:
    """The SPDX-like name of a licence that a source calls `name`, or links to; as written where nobody knows it."""
    written = " ".join((name or "").split())
    return _of_deed(url) or _of_name(written) or _of_deed(written) or written or None


def taken(licence: str, wanted: Sequence[str]) -> bool:
    """Whether a recipe that names `wanted` takes a licence. `CC-BY-*` stands for all that begin so; none named: all."""
    return not wanted or any(fnmatch.fnmatchcase(licence.casefold(), each.casefold()) for each in wanted)


class LicenceGate:
    """Lets the offers through whose licence the recipe takes, and counts the others. An offer without one has the
    source's."""

    def __init__(self, source: PhotoSource, setting: str) -> None:
        self._source = source
        self._setting = setting
        self.refused: Counter[str] = Counter()
        self._why = functools.lru_cache(maxsize=4096)(self._refused_as)

    def passed(self, offers: Iterable[Offer]) -> Iterator[Offer]:
        """The offers that the recipe takes, as they are."""
        for offer in offers:
            if self.takes(offer.licence, offer.licence_url):
                yield offer

    def takes(self, licence: str | None, licence_url: str | None) -> bool:
        """Whether the recipe takes a photo of which its source says this; else it is counted."""
        refused = self._why(licence or self._source.licence, licence_url)
        if refused is not None:
            self.refused[refused] += 1
        return refused is None

    def _refused_as(self, named: str, licence_url: str | None) -> str | None:
        """The licence that the recipe does not take; None where it does."""
        licence = licence_name(named, licence_url) or named
        wanted = self._source.licences
        return None if taken(licence, wanted) or taken(named, wanted) else licence

    def say(self) -> None:
        """Log how many photos were left out, by their licence."""
        if self.refused:
            logger.warning(
                "%s.licences=%s: %d photos are left out, under %s",
                self._setting,
                list(self._source.licences),
                self.refused.total(),
                ", ".join(f"{licence} ({count})" for licence, count in self.refused.most_common()),
            )


def _of_deed(url: str | None) -> str | None:
    """The licence whose deed at creativecommons.org a link names."""
    try:
        parts = urlsplit((url or "").strip().lower())
    except ValueError:
        return None
    if parts.netloc.removeprefix("www.") != "creativecommons.org":
        return None
    found = _DEED.search(f"{parts.path}/")
    if found is None:
        return None
    family, terms, version, place = found.groups()
    if family == "publicdomain":
        return {"zero": CC0, "mark": MARK}.get(terms, PUBLIC_DOMAIN)
    return _creative_commons(terms, version, place) if terms in _TERMS else None


def _of_name(name: str) -> str | None:
    plain = " ".join(re.sub(r"[-_\s]+", " ", name.casefold()).split())
    for written, short in _WORDS.items():
        plain = re.sub(rf"\b{written}\b", short, plain) if plain not in _NAMES else plain
    if plain in _NAMES:
        return _NAMES[plain]
    if plain.startswith(("pd ", "public domain")):
        return PUBLIC_DOMAIN
    found = _CC.search(plain)
    if found is None:
        return None
    words, version, place = found.groups()
    terms = "-".join(words.split())
    return _creative_commons(terms, version, place) if terms in _TERMS else None


def _creative_commons(terms: str, version: str | None, place: str | None) -> str:
    numbered = "" if version is None else f"-{version if '.' in version else f'{version}.0'}"
    return f"CC-{terms.upper()}{numbered}{f'-{place.upper()}' if place and numbered else ''}"
