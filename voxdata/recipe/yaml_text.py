"""YAML that others wrote, within bounds: a few lines of aliases can stand for more than any memory holds."""

from __future__ import annotations

from typing import Any

import yaml

from voxdata.format.errors import brief, quoted
from voxdata.format.json_text import WHOLE, is_unicode

MAX_LETTERS = 256 << 10
MAX_VALUES = 20_000  # as they are written out: what an alias stands for counts each time
MAX_DEPTH = 40
MAX_ALIASES = 500
# What constructors of YAML raise over a date, a number or a tag that is none, besides `YAMLError`.
_NONE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class _Bounded:
    """Counts aliases while a document is read, and what is merged by `<<`."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As YAML composes it."""
        if self.check_event(yaml.AliasEvent):  # type: ignore[attr-defined]
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise yaml.YAMLError(f"it has more than {MAX_ALIASES} aliases")
        return super().compose_node(parent, index)  # type: ignore[misc]

    def flatten_mapping(self, node: Any) -> None:
        """As YAML merges it."""
        super().flatten_mapping(node)  # type: ignore[misc]
        if len(node.value) > MAX_VALUES:
            raise yaml.YAMLError(f"it merges more than {MAX_VALUES} values")


class Typed(_Bounded, yaml.SafeLoader):
    """Numbers, dates, texts and what holds them; no objects."""


class Texts(_Bounded, yaml.BaseLoader):
    """Every value is the text that it is."""


def read_yaml(text: str | bytes, loader: type[Typed | Texts] = Typed) -> Any:
    """The value that a text states. Raises `ValueError` in one line, whatever is wrong with it."""
    if len(text) > MAX_LETTERS:
        raise ValueError(f"it has {len(text)} letters, at most {MAX_LETTERS} are read")
    try:
        value = yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise ValueError(brief(" ".join(str(error).split()), 400)) from None
    except RecursionError:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from None
    except _NONE as error:
        raise ValueError(f"a value in it is none of its kind: {brief(error)}") from None
    _check(value)
    return value


def _check(value: Any) -> None:
    """Raises `ValueError` for what is too large or too deep when it is written out, also where it contains itself."""
    waiting, count = [(value, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if count > MAX_VALUES:
            raise ValueError(f"it stands for more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        if isinstance(node, int) and abs(node) >= WHOLE:
            raise ValueError("a number in it has more than 64 bits")
        if isinstance(node, str) and not is_unicode(node):
            raise ValueError(f"{quoted(node)} in it is no Unicode")
        if isinstance(node, dict):
            waiting += [(each, depth + 1) for pair in node.items() for each in pair]
        elif isinstance(node, list | tuple | set):
            waiting += [(each, depth + 1) for each in node]
