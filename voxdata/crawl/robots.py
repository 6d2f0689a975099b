"""robots.txt as RFC 9309 says: groups, the longest rule that matches, `*` and `$`. Reading and asking take linear time.

A file is a stranger's: it may hold half a megabyte of anything, so there is no regular expression on it that could go
back and forth, and a rule without wildcards is looked up, not tried.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

ROBOTS_BYTES = 500 << 10
MOST_WILDCARDS = 2000  # rules with `*` in the groups that hold for one name; a file with more closes its host
MAX_DELAY_S = 1e9

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SAFE = "%/?:@!$&'()*+,;=-._~[]#"
_LINE_END = re.compile(r"\r\n|\r|\n")  # and no other: a path may hold what Python takes for the end of a line
_SIGNAL = re.compile(r"[=:]|[^\s,;=:'\"\u2018-\u201f]+")
_SIGNAL_PATH = re.compile(r"(?:/|https?://)[^\s,;]*", re.IGNORECASE)
_URL = re.compile(r"https?://([^/?#]*)([^#]*)", re.IGNORECASE)
_MARK_BEFORE_LINE = re.compile(r"\ufeff[ \t]{0,64}(?=[A-Za-z_-]{1,32}[ \t]{0,64}:)")  # of a joined file
_NAME_END = re.compile(r"[,;]")
_PORT = re.compile(r":[0-9]*$")
_QUOTES = "\"'`\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f"
# What else is read as a key, by Google, too.
_MISSPELT = {
    **dict.fromkeys(("dissallow", "dissalow", "disalow", "diasllow", "disallaw"), "disallow"),
    **dict.fromkeys(("useragent", "user agent", "user_agent"), "user-agent"),
    **dict.fromkeys(("content signal", "content_signal", "content-signals"), "content-signal"),
    **dict.fromkeys(("content usage", "content_usage", "content-usages"), "content-usage"),
}
_NO = ("no", "n", "?0")
_GENERATORS = ("train-genai", "genai")  # what is trained here makes faces
_TRAINING = (("train-ai",), ("ai", "tdm"), ("bots", "all"))  # of the drafts of Content-Usage, the narrowest first
# What ends the names of a group; any other record stands among them.
_RULES = ("allow", "disallow", "content-signal", "content-usage")


@dataclass
class _Group:
    names: list[str] = field(default_factory=list)
    rules: list[tuple[bool, str]] = field(default_factory=list)  # allowed, pattern
    delay_s: float | None = None
    signals: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    usages: list[tuple[str, bool]] = field(default_factory=list)  # pattern, whether training is refused there


class _Rules:
    """The rules of all groups that hold for one name."""

    def __init__(self, groups: Sequence[_Group]) -> None:
        self._plain: dict[str, bool] = {}
        self._wild: list[tuple[bool, str]] = []
        for group in groups:
            for allowed, pattern in group.rules:
                if "*" in pattern or pattern.endswith("$"):
                    self._wild.append((allowed, pattern))
                else:
                    self._plain[pattern] = allowed or self._plain.get(pattern, False)
        self._lengths = sorted({len(pattern) for pattern in self._plain}, reverse=True)
        self._wild.sort(key=lambda rule: (-len(rule[1]), not rule[0]))
        self.closed = len(self._wild) > MOST_WILDCARDS

    def allow(self, path: str) -> bool:
        """Whether the longest rule that matches allows; of two equally long ones, allowing wins."""
        if self.closed:
            return False
        plain = next((path[:length] for length in self._lengths if path[:length] in self._plain), None)
        known = -1 if plain is None else len(plain)
        for allowed, pattern in self._wild:
            if len(pattern) < known:
                break
            if matches(pattern, path):
                return allowed or (len(pattern) == known and self._plain[str(plain)])
        return True if plain is None else self._plain[plain]


class Robots:
    """What a robots.txt says; of whole URLs in place of paths those of its `host`, a name or an origin, count."""

    def __init__(self, text: str, host: str = "") -> None:
        self._host = host
        self.sitemaps: list[str] = []
        self._groups: list[_Group] = [_Group(["*"])]  # what stands before every group holds for all
        self._read(text)
        self._known: dict[str, _Rules] = {}

    def allow(self, target: str, agent: str) -> bool:
        """Whether a path and query (`/…`) may be asked for by a crawler of this name."""
        rules = self._known.get(agent)
        if rules is None:
            rules = self._known[agent] = _Rules(self._groups_of(agent))
        return target == "/robots.txt" or rules.allow(normal(target))

    def delay_s(self, agent: str) -> float:
        """The longest pause that a group for this name asks for."""
        return max((group.delay_s or 0.0 for group in self._groups_of(agent)), default=0.0)

    def signals(self, agent: str) -> list[tuple[str, Mapping[str, str]]]:
        """The Content-Signal lines for this name: a pattern of paths, and what is said."""
        return [said for group in self._groups_of(agent) for said in group.signals]

    def refuses_training(self, path: str, agent: str) -> bool:
        """Whether the longest pattern of a Content-Usage line for this name that matches says so; of two equally long
        ones, refusing wins. `path` is in the spelling of `normal`."""
        stated = [
            (len(pattern), refused)
            for group in self._groups_of(agent)
            for pattern, refused in group.usages
            if matches(pattern, path)
        ]
        return max(stated, default=(0, False))[1]

    def _groups_of(self, agent: str) -> list[_Group]:
        """The groups with the longest name that is the crawler's or begins it; without one, those for everybody."""
        named = product_of(agent)
        best, found = 0, [group for group in self._groups if "*" in group.names]
        for group in self._groups:
            length = max((len(name.rstrip("*")) for name in group.names if names_product(name, named)), default=0)
            if length > best:
                best, found = length, []
            if length and length == best:
                found.append(group)
        return found

    def _read(self, text: str) -> None:
        naming = False
        for line in _LINE_END.split(text):
            key, value = _record(line) if line else ("", "")
            if not key:
                continue
            if key == "sitemap":
                self.sitemaps.append(line.partition(":")[2].strip())
                continue
            if key == "user-agent":
                if not naming:
                    self._groups.append(_Group())
                self._groups[-1].names += map(product_of, _NAME_END.split(value.partition("(")[0]))
                naming = True
                continue
            self._add(key, value)
            naming = naming and key not in _RULES

    def _add(self, key: str, value: str) -> None:
        group = self._groups[-1]
        if key in ("allow", "disallow") and value:
            pattern = pattern_of(value.strip(_QUOTES) if value[0] in _QUOTES else value, self._host)
            if pattern is not None:
                group.rules.append((key == "allow", pattern))
        elif key == "crawl-delay":
            group.delay_s = max(group.delay_s or 0.0, _seconds(value))
        elif key == "content-signal":
            pattern, said = _signal(value, self._host)
            if pattern is not None:
                group.signals.append((pattern, said))
        elif key == "content-usage":
            pattern, said = _signal(value, self._host)
            refused = training_refused(said)
            if pattern is not None and refused is not None:
                group.usages.append((pattern, refused))


def read_robots(data: bytes) -> str:
    """The text of a robots.txt: UTF-8, or UTF-16 by its byte order mark, its first 500 KiB."""
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    text = data[:ROBOTS_BYTES].decode(encoding, "replace").replace("\0", "\ufffd")
    if len(data) > ROBOTS_BYTES:
        text = text[: text.rfind("\n") + 1]
    return _MARK_BEFORE_LINE.sub("\n", text).replace("\ufeff", "")


def pattern_of(stated: str, host: str) -> str | None:
    """A path or pattern as it is compared; of a whole URL its path, where it is of `host` or a domain around it.

    None for another host's. `www.` and the port say nothing here: owners write one for the other.
    """
    url = None if stated.startswith("/") else _URL.match(stated)
    if url is not None:
        here, there = _name_of(host.rpartition("://")[2]), _name_of(url[1])
        if not there or not (there == "*" or f".{here}".endswith(f".{there}")):
            return None
        stated = url[2]
    elif stated == "." or stated.startswith("./"):
        stated = stated[1:]
    return normal(stated if stated.startswith(("/", "*")) else f"/{stated}")


def _name_of(host: str) -> str:
    name = _PORT.sub("", host.rpartition("@")[2]).lower().rstrip(".")
    return name.removeprefix("*.").removeprefix("www.")


def _record(line: str) -> tuple[str, str]:
    """Key and value of a line; both empty where it is none. For a colon a blank may stand between two words."""
    stated = line.partition("#")[0]
    name, colon, value = stated.partition(":")
    if not colon:
        words = stated.split(None, 2)
        if len(words) != 2:
            return "", ""
        name, value = words
    key = name.strip().strip(_QUOTES).lower()
    key = _MISSPELT.get(key, key)
    return (key, value.strip()) if colon or key in _RULES or key == "user-agent" else ("", "")


def normal(text: str) -> str:
    """A path or a pattern with its escapes in one spelling."""
    quoted = quote(text, safe=_SAFE, errors="surrogatepass")
    return _ESCAPE.sub(_one_spelling, quoted) if "%" in quoted else quoted


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern of paths, with `*` and a `$` at the end, matches the beginning of a path."""
    anchored = pattern.endswith("$")
    first, *rest = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    for number, part in enumerate(rest):
        if anchored and number == len(rest) - 1:
            return path.endswith(part) and len(path) - len(part) >= at
        found = path.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return not anchored or at == len(path)


def _one_spelling(found: re.Match[str]) -> str:
    byte = unquote_to_bytes(found[0])
    return byte.decode() if byte[0] in _UNRESERVED else found[0].upper()


def product_of(value: str) -> str:
    """The product that a group is for, without a version or a comment, which owners write and the standard ignores."""
    name = value.strip().strip(_QUOTES).lower().partition("/")[0].partition(" ")[0].strip()
    return "*" if name and not name.strip("*") else name


def names_product(name: str, product: str) -> bool:
    """Whether a group's name is a product's or its beginning up to a hyphen: `ourbot` is for `ourbot-image` too.

    A name that is only somewhere in the product, as `a` is in most, is another's: what it allows is not for us. With a
    `*` at its end, as owners write it though the standard has none, it is for every product that begins so.
    """
    if name.endswith("*"):
        return product.startswith(name.rstrip("*")) and name.strip("*") != ""
    return bool(name) and f"{product}-".startswith(f"{name}-")


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        return 0.0
    return min(seconds, MAX_DELAY_S) if seconds > 0 else 0.0  # not a number is no pause


def _signal(value: str, host: str) -> tuple[str | None, Mapping[str, str]]:
    """The pattern of a Content-Signal or Content-Usage, None for another host's, and what it says."""
    path = _SIGNAL_PATH.match(value)
    said = stated_usage(value if path is None else value[path.end() :])
    return "/" if path is None else pattern_of(path[0], host), said


def stated_usage(value: str) -> Mapping[str, str]:
    """What is said of each use; of two answers `no` counts.

    Signals are parted by commas, and owners use semicolons and blanks, too; for `=` also a colon.
    """
    words = _SIGNAL.findall(value.lower())
    said: dict[str, str] = {}
    for at in range(1, len(words) - 1):
        name = words[at - 1].replace("_", "-")
        if words[at] in "=:" and said.get(name) not in _NO:
            said[name] = words[at + 1]
    return said


def training_refused(said: Mapping[str, str]) -> bool | None:
    """Whether a Content-Usage refuses the training of models that generate; None where it says nothing of that.

    The narrowest use that is stated counts, as `train-ai=y` beside `bots=n`, and a refusal of generators always.
    """
    if any(said.get(name) in _NO for name in _GENERATORS):
        return True
    narrowest = next((names for names in _TRAINING if any(name in said for name in names)), ())
    return any(said.get(name) in _NO for name in narrowest) if narrowest else None
