"""The page `docs/recipes.md`: every recipe setting with its type, default and meaning, from the recipe model itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from voxdata.faces import rules as faces
from voxdata.plugins import plugins
from voxdata.recipe.effect import OnlyWith
from voxdata.recipe.pairs import kinds_of
from voxdata.recipe.reading import load_recipe, shipped_recipes
from voxdata.recipe.section import RegisteredKind, RegisteredName
from voxdata.recipe.sections import Recipe
from voxdata.rules import Rule, by_reason, setting
from voxdata.speech import rules as speech

INTRODUCTION = """# Recipe reference

A recipe is a YAML file with the settings below; what it leaves out keeps its default. `extends: NAME` starts from
another recipe. A key that stands twice in one section is refused. On the command line `--set key=value` changes one
setting, for example `--set faces.pose.max_angle_deg=8`. A text or a path is what is written
(`--set 'sources.photos.path=B #1'`); other values are YAML, so a list is `--set speech.measure.front_ends=[torch40]`
and a second corpus is `--set 'sources.also=[{photos: {path: B/photos}, speech: {path: B/wav}}]'`, whose texts want
quotes where YAML does.

`sources.photos` is one source or a list of several, which are asked in that order. In a recipe:
`photos: [{kind: folder, path: A}, {kind: site, url: 'https://…/'}]`. On the command line a number names one of them,
and the next number adds one: `--set sources.photos.path=A` is the only source, `--set sources.photos.0.path=A --set
sources.photos.1.kind=site --set sources.photos.1.url=https://…/` are two. The same holds for
`sources.also.0.photos.path`.

Settings under `measure` and `render` decide what is computed from pixels and samples: changing one computes again.
Settings under `link`, `purity`, `pose`, `resolution`, `expression`, `lighting`, `sharpness`, `rules` and `select`
are limits on stored measurements: changing one decides again in seconds. `work` never changes a byte of the result.

Where the meaning ends in "only with", the setting has no effect without that. One that you wrote is refused then, in a
file of your own as with `--set`; one that came with a recipe that yours extends, or whose condition `--set` took away,
and one that depends on a source, is said by `voxdata check` and when a build begins. Defaults are never in the way.
"""

SIDES = {"max": "at most", "min": "at least", "both": "within ±"}
RULES_INTRODUCTION = {
    "faces": "In the order in which they are found; the first is a face's `reason`. Null measurements pass, and so "
    "does what lies exactly on a limit: limits are compared in single precision, as measurements are stored. A "
    "reviewer's `keep` stands above all but `face_too_small` and `no_landmarks`.\n",
    "clips": "In the order in which they are found; the first is a clip's `reason`.\n",
}


def recipe_reference() -> str:
    """The whole page as Markdown."""
    lines = [INTRODUCTION, "## Shipped recipes\n", "| recipe | what |", "|---|---|"]
    lines += [f"| `{name}` | {load_recipe(name).description} |" for name in shipped_recipes()]
    lines += ["", "## Settings\n", "| key | type | default | meaning |", "|---|---|---|---|"]
    lines += list(_rows(Recipe, ""))
    for kind, rules in (("faces", faces.LINES), ("clips", speech.LINES)):
        lines += ["", f"## Why {kind} are left out\n", RULES_INTRODUCTION[kind]]
        lines += ["| reason | what | measurement | limit | default |", "|---|---|---|---|---|"]
        lines += list(_rules(rules, Recipe(name="x")))
    return "\n".join(lines) + "\n"


def _rows(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner, kinds = field.annotation, kinds_of(field)
        if kinds is not None and get_origin(inner) is list:
            (inner,) = get_args(inner)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            below = f"{prefix}{name}."
            yield f"| **`{prefix}{name}`** | | | **{_summary(inner)}**{_needs(field)} |"
            yield from _rows(inner, below) if kinds is None else _kind_rows(kinds, inner, below)
        else:
            yield _row(prefix + name, field)


def _kind_rows(kinds: RegisteredKind, base: type[BaseModel], prefix: str) -> Iterator[str]:
    """The kinds in one line, the settings that all of them have, and those that only one has."""
    sections = {name: kinds.section(name) for name in plugins(kinds.group)}
    said = "; ".join(f"`{name}`: {_summary(section).removesuffix('.')}" for name, section in sections.items())
    yield f"| `{prefix}kind` | {_choice(sections)} | {_default(base.model_fields['kind'])} | {_cell(said)} |"
    for name, field in base.model_fields.items():
        if name != "kind":
            yield _row(prefix + name, field)
    for kind, section in sections.items():
        for name, field in section.model_fields.items():
            if name not in base.model_fields:
                yield _row(prefix + name, field, f"of `{kind}`: ")


def _row(key: str, field: FieldInfo, of: str = "") -> str:
    return f"| `{key}` | {_type(field)} | {_default(field)} | {of}{_cell(field.description)}{_needs(field)} |"


def _needs(field: FieldInfo) -> str:
    """What a setting, or all of a section, has an effect with."""
    needs = [str(rule) for rule in field.metadata if isinstance(rule, OnlyWith)]
    return f"; only with {' and '.join(needs)}" if needs else ""


def _summary(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").strip().splitlines()[0]


def _choice(names: Iterable[str | int]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def _rules(rules: Iterable[Rule], recipe: Recipe) -> Iterator[str]:
    """A line per line of a table of rules; one that counts only with some values of a setting says so."""
    rules = list(rules)
    text_of = {name: rule.text for name, rule in by_reason(rules).items()}
    for rule in rules:
        when = rule.when
        only = f" (`{when.setting}` is {_values(when.values)})" if when is not None else ""
        value = setting(recipe, rule.setting) if rule.setting else None
        default = f"`{'null' if value is None else value}`" if rule.setting else ""
        limit = f"{'above' if rule.strict else SIDES[rule.side]} `{rule.setting}`" if rule.setting else ""
        column = f"`{rule.column}`" if rule.column else ""
        yield f"| `{rule.reason}` | {text_of[rule.reason]}{only} | {column} | {limit} | {default} |"


def _type(field: FieldInfo) -> str:
    for rule in field.metadata:
        if isinstance(rule, RegisteredName):
            return _choice(plugins(rule.group))
    return " ".join([_type_name(field.annotation), *_limits(field.metadata)]).strip()


def _limits(rules: Iterable[Any]) -> Iterator[str]:
    """What the values of a setting must be above or below; those within `Annotated` stand in a field of its own."""
    for rule in rules:
        if isinstance(rule, FieldInfo):
            yield from _limits(rule.metadata)
        for symbol, attribute in ((">=", "ge"), (">", "gt"), ("<=", "le"), ("<", "lt")):
            if getattr(rule, attribute, None) is not None:
                yield f"{symbol} {getattr(rule, attribute)}"


def _type_name(annotation: Any) -> str:
    parts = get_args(annotation)
    named = next((part for part in parts if isinstance(part, RegisteredName)), None)
    if named is not None:
        return _choice(plugins(named.group))
    if not parts:
        return "null" if annotation is type(None) else str(getattr(annotation, "__name__", annotation))
    if get_origin(annotation) is Annotated:
        return " ".join([_type_name(parts[0]), *_limits(parts[1:])])
    if getattr(annotation, "__origin__", None) is dict:
        return f"mapping of {_type_name(parts[0])} to {_type_name(parts[1])}"
    if getattr(annotation, "__origin__", None) is list:
        return f"list of {_type_name(parts[0])}"
    if all(isinstance(part, str | int) and not isinstance(part, type) for part in parts):
        return _choice(parts)
    return " or ".join(map(_type_name, parts))


def _values(values: Sequence[str | None]) -> str:
    """Those that a rule applies with; null stands for older recipes beside others, and for itself alone."""
    return " or ".join(f"`{value}`" for value in values if value) or "`null`"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return f"`{'null' if field.default is None else field.default}`" if field.default != "" else "empty"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")
