"""Foreign data for the tests of parsers: whole files that were damaged, JSON that was changed, and wild texts.

Every parser of what others wrote has one property: data, or one line that a user can act on (`complaint`), within
bounded time and memory (`bounded`). The tests start from a valid file, so that what is broken lies deep inside.

In the suite every test takes the same few examples in every run; `make fuzz` takes thousands of new ones
(`--hypothesis-profile=long`, tests/conftest.py).
"""

from __future__ import annotations

import copy
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

HANG_S = 120  # of this process's own computing: a guard against endless loops, on the slowest machine too
MEMORY_MB = 400
LONGEST_LINE = 2_000

INTEGERS = [0, 1, -1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]


def few(examples: int) -> settings:
    """Settings of a test that takes that many examples in the suite, and as many as all others in a longer profile."""
    chosen = settings.get_current_profile_name()
    return settings(max_examples=examples if chosen == "voxdata" else settings().max_examples)


# --- bytes


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, edits: int = 3) -> bytes:
    """A valid file with bytes flipped, cut, repeated, moved, put in, or numbers of any width made extreme."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, edits))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "number", "cut", "overwrite", "insert", "repeat", "move", "remove"]))
        length = draw(st.integers(1, 64))
        if kind == "cut":
            del data[at:]
        elif kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "number":
            width, order = draw(st.sampled_from([1, 2, 3, 4, 8])), draw(st.sampled_from(["little", "big"]))
            value = draw(st.sampled_from(INTEGERS)) % 2 ** (8 * width)
            data[at : at + width] = value.to_bytes(width, order)
        elif kind in ("overwrite", "insert"):
            piece = draw(st.binary(min_size=1, max_size=12))
            data[at : at + (len(piece) if kind == "overwrite" else 0)] = piece
        elif kind == "repeat":
            data[at:at] = data[at : at + length] * draw(st.sampled_from([1, 2, 50]))
        elif kind == "move":
            to = draw(st.integers(0, len(data)))
            data[to:to] = data[at : at + length]
        elif kind == "remove":
            del data[at : at + length]
    return bytes(data)


# --- texts

WILD_CHARACTERS = st.sampled_from(
    [
        *("\0", "\n", "\r", "\t", "\x1b", "\x85", "\u2028", "\u202e", "\u0301", "\u200f", "\ufeff", "\udcff", "\ud800"),
        *("²", "٣", "İ", "ß", "\U0001f600", "'", '"', "\\", "/", ",", ";", "|", "%", "{", "[", "<", "&", "=", ":", "#"),
    ]
)
WILD_TEXT = (
    st.text(max_size=12)
    | st.lists(WILD_CHARACTERS | st.sampled_from("abc 01.-"), max_size=8).map("".join)
    | st.sampled_from(["", " ", "..", "/", "9" * 400, "9" * 5000, "-1", "1e999", "nan", "a" * 3000, "é" * 300])
)
WILD_NUMBERS = st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400, -(10**400), 0.5, -0.0, 1e308]) | st.sampled_from(
    [float("inf"), float("-inf"), float("nan")]
)
WILD_VALUES = st.recursive(
    st.none() | st.booleans() | WILD_NUMBERS | WILD_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WILD_TEXT, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def damaged_text(draw: st.DrawFn, whole: str, edits: int = 3) -> str:
    """A valid text with pieces of it cut, repeated, moved, or wild characters put in."""
    text = whole
    for _ in range(draw(st.integers(1, edits))):
        at, to = sorted(draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        kind = draw(st.sampled_from(["put", "put", "cut", "repeat", "remove", "over"]))
        if kind == "put":
            text = text[:at] + draw(WILD_TEXT) + text[at:]
        elif kind == "cut":
            text = text[:at]
        elif kind == "repeat":
            text = text[:at] + text[at:to] * draw(st.sampled_from([2, 3, 40])) + text[to:]
        elif kind == "remove":
            text = text[:at] + text[to:]
        else:
            text = text[:at] + draw(WILD_TEXT) + text[at + 1 :]
    return text


# --- JSON

DEEP = ["[" * 100_000, '{"a":' * 100_000, "[" * 3_000 + "]" * 3_000]


def places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a JSON value, itself first."""
    yield above
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        yield from places(value, (*above, key))


@st.composite
def changed(draw: st.DrawFn, whole: Any, edits: int = 2) -> Any:
    """A JSON value with values replaced by wild ones, or keys taken out or added."""
    content = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, edits))):
        way = draw(st.sampled_from(list(places(content))))
        kind = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if not way:
            if isinstance(content, dict) and kind == "add":
                content[draw(WILD_TEXT)] = draw(WILD_VALUES)
            elif kind == "replace" and draw(st.integers(0, 5)) == 0:
                content = draw(WILD_VALUES)
            continue
        *before, last = way
        parent = content
        for key in before:
            parent = parent[key]
        if kind == "replace":
            parent[last] = draw(WILD_VALUES)
        elif kind == "remove":
            del parent[last]
        elif isinstance(parent, dict):
            parent[draw(WILD_TEXT)] = draw(WILD_VALUES)
        else:
            parent.insert(last, draw(WILD_VALUES))
    return content


def written(content: Any) -> bytes:
    """A JSON value as somebody may write it: with NaN, and what is no Unicode by its escapes."""
    return json.dumps(content).encode()


def changed_json(whole: Any) -> st.SearchStrategy[bytes]:
    """A JSON file with wild values, keys that come twice, broken syntax, or nested without end."""
    text = json.dumps(whole)
    twice = changed(whole).map(written).filter(lambda data: data.startswith(b"{") and len(data) > 2)
    return (
        changed(whole).map(written)
        | damaged(text.encode())
        | damaged_text(text).map(lambda each: each.encode("utf-8", "surrogatepass"))
        | twice.map(lambda data: text.encode()[:-1] + b", " + data[1:])
        | st.sampled_from(DEEP).map(str.encode)
        | st.sampled_from(DEEP[:2]).map(lambda deep: (text[:-1] + ', "deep": ' + deep).encode())
    )


# --- what must hold


class Hang(BaseException):
    """Out of time; no `except Exception` of the code under test takes it for one of its own."""


def _ended(number: int, frame: FrameType | None) -> None:
    raise Hang


@contextmanager
def bounded(memory_mb: int = MEMORY_MB, seconds: float = HANG_S) -> Iterator[None]:
    """Raises `AssertionError` where what runs inside never ends, or takes so much memory at a time."""
    before_kb = _memory_kb("VmRSS", reset=True)
    handler = signal.signal(signal.SIGVTALRM, _ended)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    except Hang:
        raise AssertionError(f"computes for more than {seconds} s") from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
    taken_mb = (_memory_kb("VmHWM") - before_kb) / 1024
    assert taken_mb < memory_mb, f"takes {taken_mb:.0f} MB"


def _memory_kb(name: str, *, reset: bool = False) -> int:
    """What Linux says of this process's memory; 0 elsewhere, where memory is not watched."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def complaint(call: Callable[[], Any], *errors: type[Exception], names: str = "") -> str | None:
    """What a call says in one of `errors`, None where it says nothing; any other error is the test's.

    Asserts that it is one line of text that any terminal and table can take, not too long, with `names` in it.
    """
    try:
        with bounded():
            call()
    except errors as error:
        said = str(error)
        assert said
        assert len(said.splitlines()) == 1, repr(said)
        assert len(said) <= LONGEST_LINE, said[:LONGEST_LINE]
        said.encode()
        assert "\0" not in said
        assert names in said, said
        return said
    return None
