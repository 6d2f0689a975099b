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
MAX_NUMBER = 1000  # letters; YAML has numbers to the base 60, whose time grows with the square of their length
# What constructors of YAML raise over a date, a number or a tag that is none, besides `YAMLError`.
_NONE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


_INT, _FLOAT, _MERGE, _VALUE = (f"tag:yaml.org,2002:{name}" for name in ("int", "float", "merge", "value"))
_TOO_DEEP = f"it is nested more than {MAX_DEPTH} deep"
_TOO_MANY = f"it stands for more than {MAX_VALUES} values"


class _Bounded:
    """Counts what a document has while it is composed, and what is merged by `<<`; no key stands twice."""

    aliases = 0
    values = 0
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As YAML composes it."""
        if self.check_event(yaml.AliasEvent):  # type: ignore[attr-defined]
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise yaml.YAMLError(f"it has more than {MAX_ALIASES} aliases")
        self.values += 1
        if self.values > MAX_VALUES:
            raise yaml.YAMLError(_TOO_MANY)
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(_TOO_DEEP)
        self.depth += 1
        node = super().compose_node(parent, index)  # type: ignore[misc]
        self.depth -= 1
        return node

    def compose_scalar_node(self, anchor: Any) -> Any:
        """As YAML composes it."""
        node = super().compose_scalar_node(anchor)  # type: ignore[misc]
        if node.tag in (_INT, _FLOAT) and len(node.value) > MAX_NUMBER:
            raise yaml.YAMLError(f"a number in it has {len(node.value)} letters, at most {MAX_NUMBER} are read")
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        """As YAML composes it, which would keep the last of two values. What `<<` brings is merged later, and gives way
        to a key that is written."""
        node = super().compose_mapping_node(anchor)  # type: ignore[misc]
        lines: dict[Any, int] = {}
        for each, _ in node.value:
            if not isinstance(each, yaml.ScalarNode) or each.tag == _MERGE:
                continue
            key = each.value if each.tag == _VALUE else self.construct_object(each, deep=True)  # type: ignore[attr-defined]
            line = each.start_mark.line + 1
            if key in lines:
                where = f"on line {line}" if lines[key] == line else f"on lines {lines[key]} and {line}"
                raise yaml.YAMLError(f"it has the key {brief(each.value)} twice, {where}; put what both say under one")
            lines[key] = line
        return node

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
        raise ValueError(_TOO_DEEP) from None
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
            raise ValueError(_TOO_MANY)
        if depth > MAX_DEPTH:
            raise ValueError(_TOO_DEEP)
        if isinstance(node, int) and abs(node) >= WHOLE:
            raise ValueError("a number in it has more than 64 bits")
        if isinstance(node, str) and not is_unicode(node):
            raise ValueError(f"{quoted(node)} in it is no Unicode")
        if isinstance(node, dict):
            waiting += [(each, depth + 1) for pair in node.items() for each in pair]
        elif isinstance(node, list | tuple | set):
            waiting += [(each, depth + 1) for each in node]
