"""What every section of a recipe is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from voxdata.format.errors import RecipeError
from voxdata.plugins import plugin, plugins, unknown

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """Base of every recipe section: unknown keys and silent type changes are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True)
class RegisteredName:
    """Of a text in a recipe: it must be a name of this entry point group. Nothing is imported to check it."""

    group: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, name: str) -> str:
        if name not in plugins(self.group):
            raise ValueError(unknown(self.group, name))
        return name


@dataclass(frozen=True)
class RegisteredKind:
    """Of a section in a recipe: its `kind` names an entry point of this group, whose `settings` is the section's class.

    Only the kind that a recipe names is imported. All settings of that class are dumped, whatever the field's own
    class is.
    """

    group: str
    usual: str  # the kind of a section that names none

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        any_kind = core_schema.simple_ser_schema("any")
        return core_schema.no_info_before_validator_function(self._chosen, handler(source), serialization=any_kind)

    def section(self, kind: str) -> type[Section]:
        """The class of a kind's settings. Raises `RecipeError`."""
        found = plugin(self.group, kind, setting="kind")
        chosen = getattr(found, "settings", None)
        if not (isinstance(chosen, type) and issubclass(chosen, Section)):
            raise RecipeError(f"kind = {kind!r}: {self.group} names {found!r}; its `settings` must be a recipe section")
        return chosen

    def default(self) -> Any:
        """The section of a recipe that says nothing."""
        return self.section(self.usual)()

    def _chosen(self, value: Any) -> Any:
        kind = value.get("kind", self.usual) if isinstance(value, Mapping) else None
        if not isinstance(kind, str):
            return value  # a section already, or what the field's own class refuses
        if kind not in plugins(self.group):
            said = PydanticCustomError("unknown_kind", "{said}", {"said": unknown(self.group, kind)})
            raise ValidationError.from_exception_data(
                "section", [InitErrorDetails(type=said, loc=("kind",), input=kind)]
            )
        return self.section(kind).model_validate(dict(value))


@dataclass(frozen=True)
class OneOrSeveral:
    """Of a list of such sections: a recipe may write a single one without the list, and it is dumped so, too.

    Recipes, fingerprints and snapshots of one source are therefore what they were before there could be several.
    """

    kinds: RegisteredKind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (base,) = get_args(source)
        item = handler.generate_schema(Annotated[base, self.kinds])
        return core_schema.no_info_before_validator_function(
            _as_list,
            core_schema.list_schema(item, min_length=1),
            serialization=core_schema.plain_serializer_function_ser_schema(
                _as_written, return_schema=core_schema.any_schema()
            ),
        )

    def default(self) -> list[Any]:
        """The sections of a recipe that says nothing."""
        return [self.kinds.default()]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _as_written(sections: list[Any]) -> Any:
    return sections[0] if len(sections) == 1 else sections
