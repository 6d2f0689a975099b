"""JSON that others wrote: `json.loads`, but whatever is wrong with a text is one kind of error."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from voxdata.format.errors import brief

WHOLE = 2**63  # numbers of tables and of files lie below


def read_json(text: str | bytes, *, by_hand: bool = False) -> Any:
    """The value that a text states. Raises `ValueError`, also for what is nested without end or is no UTF-8.

    Of a name that stands twice in an object the last value counts, as `json` has it; in what people write, `by_hand`,
    it is refused.
    """
    try:
        return json.loads(text, object_pairs_hook=_each_once if by_hand else None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{brief(name)} stands twice in one object; leave one of them")
        found[name] = value
    return found


def read_object(text: str | bytes) -> dict[str, Any]:
    """As `read_json`, for a text that states an object. Raises `ValueError` where it states anything else."""
    found = read_json(text)
    if not isinstance(found, dict):
        raise ValueError(f"it states {type(found).__name__} where an object is needed")
    return found


def check_fields(kind: Any, content: Mapping[str, Any]) -> None:
    """Raises `ValueError` naming a value that a field of a dataclass cannot have; names it does not know may stand."""
    for name, hint in _hints(kind).items():
        if name in content and not fits(content[name], hint):
            raise ValueError(f"{name} has a value of another kind ({type(content[name]).__name__})")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value is of a type, inside containers, too: numbers that tables hold, texts that are Unicode."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in inner)
    if origin in (Mapping, dict):
        return isinstance(value, dict) and all(fits(k, inner[0]) and fits(each, inner[1]) for k, each in value.items())
    if origin in (Sequence, list):
        return isinstance(value, list) and all(fits(each, inner[0]) for each in value)
    if hint is str:
        return isinstance(value, str) and (value.isascii() or is_unicode(value))
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    if hint is float:
        return isinstance(value, float) or (isinstance(value, int) and abs(value) < WHOLE)
    return isinstance(value, hint) and (hint is not int or abs(value) < WHOLE)


def is_unicode(text: str) -> bool:
    """Whether a text has no half of a pair of surrogates, which JSON can state and no table takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
