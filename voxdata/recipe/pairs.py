"""`key=value` pairs of a command line: a text or a path is what is written, anything else is YAML.

YAML alone would take ` #1` off a path, make a date, a yes or an octal number of a name, and refuse what begins with
`*`.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from voxdata.format.errors import RecipeError, brief, quoted
from voxdata.plugins import plugins
from voxdata.recipe.section import OneOrSeveral, RegisteredKind, Section
from voxdata.recipe.sections import Recipe
from voxdata.recipe.yaml_text import Texts, Typed, read_yaml

_NOT_YAML = object()
_NULLS = ("", "~", "null", "Null", "NULL")
_WHOLE = re.compile(r"[-+]?[0-9]{1,300}")
_DECIMAL = re.compile(r"[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[-+]?[0-9]+)?", re.IGNORECASE)


def apply_pairs(settings: dict[str, Any], pairs: Sequence[str]) -> None:
    """Put `key=value` pairs into settings, in their order. Raises `RecipeError` naming the pair."""
    kinds = {key: text for key, _, text in (pair.partition("=") for pair in pairs) if key.endswith(".kind")}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise RecipeError(f"--set {brief(pair)}: write key=value, for example --set faces.pose.max_angle_deg=8")
        value = read_value(key, text, _wanted(key.split("."), settings, kinds))
        _put(settings, key.split("."), value, pair)


def _put(settings: dict[str, Any], path: list[str], value: Any, pair: str) -> None:
    """Set what lies at `path`. A number names one of several sections; the next after the last one adds one."""
    node: Any = settings
    for name, following in zip(path, [*path[1:], None], strict=True):
        if isinstance(node, list):
            if not name.isdecimal() or int(name) > len(node):
                raise RecipeError(
                    f"--set {brief(pair)}: {brief('.'.join(path[: path.index(name)]))} holds {len(node)} sections; "
                    f"name one of them by its number, 0 to {len(node)}, in place of {quoted(name)}"
                )
            place: Any = int(name)
            node.extend([{}] * (place == len(node)))
        elif isinstance(node, dict):
            place = name
        else:
            above = brief(path[path.index(name) - 1])
            raise RecipeError(f"--set {brief(pair)}: {above} is {quoted(node)}, not a section")
        if following is None:
            node[place] = value
            return
        below = node[place] if isinstance(node, list) or place in node else {}
        if following.isdecimal() and isinstance(below, dict):
            below = [below]
        node[place] = below
        node = below


def read_value(key: str, text: str, wanted: frozenset[Any]) -> Any:
    """The value that a person wrote for a setting that may be of any type in `wanted`. Raises `RecipeError`.

    A text in quotes is what stands between them, as in YAML. Where there may be no value, an empty one, `~` or `null`
    is none. A list of texts is one in brackets, and brackets around what is no list are refused. Numbers are decimal,
    and may be written as 1e3.
    """
    if type(None) in wanted and text in _NULLS:
        return None
    if list in wanted and text.startswith("["):
        items = _yaml(text, Texts)  # which takes every item as the text that it is
        if isinstance(items, list):
            return items
        if text.endswith("]"):
            raise RecipeError(
                f"--set {brief(key)}: {brief(text)} is no list as it stands; put what has a blank before # or other "
                "signs of YAML in quotes, as in ['a #1.csv', b.csv], and the whole where it is one name"
            )
    if str in wanted:
        in_quotes = len(text) > 1 and text[0] == text[-1] and text[0] in ("'", '"')
        inner = _yaml(text, Typed) if in_quotes else None
        return inner if isinstance(inner, str) else text
    if wanted & {int, float} and _WHOLE.fullmatch(text):
        return int(text)
    if float in wanted and _DECIMAL.fullmatch(text):
        return float(text)
    try:
        return read_yaml(text)
    except ValueError as error:
        said = brief(error, 120)
        raise RecipeError(f"--set {brief(key)}: {quoted(text)} is not a YAML value ({said}); quote it") from None


def kinds_of(field: FieldInfo) -> RegisteredKind | None:
    """The kinds of the section, or of the sections, that a field of a section holds."""
    for rule in field.metadata:
        if isinstance(rule, RegisteredKind | OneOrSeveral):
            return rule.kinds if isinstance(rule, OneOrSeveral) else rule
    return None


def section_of(field: FieldInfo, kind: Any) -> type[Section] | None:
    """The class of the section that a field of a section holds, as its `kind` says; None where it holds a value."""
    kinds = kinds_of(field)
    if kinds is not None:
        name = kinds.usual if kind is None else kind
        return kinds.section(name) if isinstance(name, str) and name in plugins(kinds.group) else None
    held = field.annotation
    if get_origin(held) is list:
        (held,) = get_args(held)
    return held if isinstance(held, type) and issubclass(held, Section) else None


def _wanted(path: list[str], settings: Any, kinds: Mapping[str, str]) -> frozenset[Any]:
    """The types that the setting at `path` may have; none where there is no such setting, or it is a section.

    A kind counts wherever among the pairs it stands, so that their order does not matter.
    """
    section: type[Section] | None = Recipe
    depth = 0
    while section is not None and depth < len(path):
        field = section.model_fields.get(path[depth])
        if field is None:
            break
        settings = settings.get(path[depth]) if isinstance(settings, Mapping) else None
        depth += 1
        if depth == len(path):
            return frozenset(_types(field.annotation))
        if get_origin(field.annotation) is dict and depth == len(path) - 1:
            return frozenset(_types(get_args(field.annotation)[1]))
        if path[depth].isdecimal() and get_origin(field.annotation) is list:
            number, several = int(path[depth]), settings if isinstance(settings, list) else [settings]
            settings = several[number] if number < len(several) else None
            depth += 1
        stated = settings.get("kind") if isinstance(settings, Mapping) else None
        section = section_of(field, kinds.get(".".join([*path[:depth], "kind"]), stated))
    return frozenset()


def _types(annotation: Any) -> Iterator[Any]:
    """str, int, float, bool, NoneType, and list for a list of texts, of which an annotation is made."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _types(get_args(annotation)[0])
    elif origin is Literal:
        yield from {type(value) for value in get_args(annotation)}
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _types(part)
    elif origin is list and str in set(_types(get_args(annotation)[0])):
        yield list
    elif origin is None:
        yield annotation


def _yaml(text: str, loader: type[Typed | Texts]) -> Any:
    try:
        return read_yaml(text, loader)
    except ValueError:
        return _NOT_YAML
