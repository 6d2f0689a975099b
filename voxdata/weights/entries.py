"""The registry of pretrained files: `catalogs/weights.toml`, and a site's own entries on top of it.

`VOXDATA_WEIGHTS_TOML` names a second TOML file of the same form. Its entries add to the shipped ones; where a name is
in both, its keys replace the shipped ones, so that a mirror is one line with another `url`.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from voxdata.format.errors import WeightsError

REGISTRY_VARIABLE = "VOXDATA_WEIGHTS_TOML"

REPLACED_TOGETHER = ({"url", "no_url", "archive", "member", "package"}, {"sha256", "sha256_prefix", "digest"})
"""Where a site's entry has one of these keys, it replaces all of the group: its own source, its own digest."""

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$")]
Url = Annotated[str, Field(pattern=r"^https?://[^/\s]+/\S+$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Sha256Prefix = Annotated[str, Field(pattern=r"^[0-9a-f]{8,63}$")]
Cosine = Annotated[float, Field(ge=-1, le=1)]
Size = Annotated[int, Field(gt=0)]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A zip that weights are members of; it is not kept once they are taken out."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    url: Url
    bytes: Size | None = None
    sha256: Sha256 | None = None


@dataclass(frozen=True, kw_only=True)
class Package:
    """A Python package that a weight is part of: `name` and `version` as in an index, `member` its path in the wheel,
    or in the source archive below its top folder."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
    version: Annotated[str, Field(pattern=r"^[0-9][A-Za-z0-9.!+]*$")]
    member: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][^\\\s]*$")]

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One pretrained file.

    `sha256` is the whole digest, `sha256_prefix` its first digits where the publisher states no more; a weight with
    neither cannot be verified, so it is neither pulled nor imported. `digest` says where the digest comes from:
    `hashed` (a file in our hands), `published` (its owner states it), `reported` (seen in other public manifests, first
    checked on your import), `prefix`, `unknown`. `url` is null where there is no public one; `no_url` says why. A
    weight with `archive` is the `member` of that zip; one with `package` is part of a Python package, and is taken from
    there before its `url`, where it has both. `face_input` says how a face embedder takes its pixels, see
    `voxdata.faces.measures.embedding`; `agreement_similarity` and `min_similarity` are the cosines that a recipe
    takes for `faces.link` and `faces.purity` with it, found on real people, where somebody has.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    file: FileName
    format: Literal["onnx", "torch", "keras-hdf5", "mediapipe-task", "pickle", "dlib"]
    url: Url | None = None
    no_url: str | None = None
    archive: str | None = None
    member: str | None = None
    package: Package | None = None
    bytes: Size | None = None
    sha256: Sha256 | None = None
    sha256_prefix: Sha256Prefix | None = None
    digest: Literal["hashed", "published", "reported", "prefix", "unknown"] = "hashed"
    licence: str
    commercial: Literal["yes", "no", "unclear"]
    trained_on: str
    knows_test_people: Literal["yes", "likely", "unknown"] | None = None
    used_by: tuple[str, ...] = ()
    face_input: Literal["rgb-255", "rgb-unit", "dlib"] | None = None
    agreement_similarity: Cosine | None = None
    min_similarity: Cosine | None = None
    notes: str = ""

    def __post_init__(self) -> None:
        known = "prefix" if self.sha256_prefix else "unknown" if self.sha256 is None else None
        if self.sha256 is not None and self.sha256_prefix is not None:
            raise ValueError("give sha256 or sha256_prefix, not both")
        if (known or self.digest) != self.digest or (known is None and self.digest in ("prefix", "unknown")):
            raise ValueError(
                f"digest = {self.digest!r} disagrees with the digest given; {known or 'hashed'!r} would fit"
            )
        if (self.archive is None) != (self.member is None):
            raise ValueError("archive and member go together")
        sources = sum(source is not None for source in (self.url, self.no_url, self.archive))
        if sources != 1 and (self.package is None or sources):
            raise ValueError("give exactly one of url, archive and no_url (why there is no url), or a package")
        if (self.agreement_similarity is None) != (self.min_similarity is None):
            raise ValueError("agreement_similarity and min_similarity go together")
        if self.package is not None and (self.no_url, self.archive) != (None, None):
            raise ValueError("a package stands alone or beside a url")

    @property
    def verifiable(self) -> bool:
        """Whether anything is known of its digest."""
        return self.sha256 is not None or self.sha256_prefix is not None

    def matches(self, sha256: str) -> bool:
        """Whether a file with this digest is this weight."""
        return sha256 == self.sha256 if self.sha256 else self.verifiable and sha256.startswith(str(self.sha256_prefix))

    @property
    def expected(self) -> str:
        """The digest and size that a file must have, in words."""
        size = f", {self.bytes:,} bytes" if self.bytes else ""
        if self.sha256 is not None:
            return f"sha256 {self.sha256}{size}"
        return f"sha256 {self.sha256_prefix}…{size}" if self.sha256_prefix else f"a digest that nobody published{size}"


@dataclass(frozen=True, kw_only=True)
class Registry:
    """All entries: `weights` by name, `archives` by name."""

    weights: Mapping[str, Weight]
    archives: Mapping[str, Archive]


_WEIGHT = TypeAdapter(Weight)
_ARCHIVE = TypeAdapter(Archive)


def registry() -> Mapping[str, Weight]:
    """All weights by name, sorted; the shipped ones and a site's own. Raises `WeightsError` for a wrong entry."""
    return read_registry().weights


def find(name: str) -> Weight:
    """The weight of this name. Raises `WeightsError` with the nearest names."""
    known = registry()
    if name not in known:
        raise WeightsError(f"no pretrained file is called {name!r}{near(name, known)}")
    return known[name]


def known_by_digest(sha256: str) -> Weight | None:
    """The weight with this digest; None for a file that the registry does not know."""
    return next((weight for weight in registry().values() if weight.matches(sha256)), None)


def near(name: str, known: Mapping[str, Weight]) -> str:
    """What to say about a name that is not there."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return (f"; near: {', '.join(close)}" if close else "") + "; all: voxdata weights list"


def read_registry() -> Registry:
    """Read the shipped TOML and the site's. Raises `WeightsError`."""
    shipped = resources.files("catalogs").joinpath("weights.toml").read_text(encoding="utf-8")
    tables = _parse(shipped, "catalogs/weights.toml")
    own = os.environ.get(REGISTRY_VARIABLE)
    if own:
        try:
            text = Path(own).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise WeightsError(f"{REGISTRY_VARIABLE} = {own} cannot be read: {error}; correct or unset it") from None
        for kind, entries in _parse(text, own).items():
            for name, entry in entries.items():
                tables[kind][name] = _merged(tables[kind].get(name, {}), entry)
    archives = {name: _checked(_ARCHIVE, "archives", name, entry, own) for name, entry in tables["archives"].items()}
    weights = {
        name: _checked(_WEIGHT, "weights", name, entry, own) for name, entry in sorted(tables["weights"].items())
    }
    _consistent(weights, archives)
    return Registry(weights=MappingProxyType(weights), archives=MappingProxyType(archives))


def _merged(shipped: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    replaced = {key for group in REPLACED_TOGETHER if own.keys() & group for key in group}
    return {**{key: value for key, value in shipped.items() if key not in replaced}, **own}


def _parse(text: str, where: str) -> dict[str, dict[str, dict[str, Any]]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WeightsError(f"{where} is not TOML: {error}") from None
    tables: dict[str, dict[str, dict[str, Any]]] = {"weights": {}, "archives": {}}
    for kind, entries in document.items():
        if (
            kind not in tables
            or not isinstance(entries, dict)
            or not all(isinstance(e, dict) for e in entries.values())
        ):
            raise WeightsError(f"{where}: {kind}: entries are [weights.NAME] and [archives.NAME] (docs/weights.md)")
        tables[kind] = dict(entries)
    return tables


def _checked(adapter: TypeAdapter[Any], kind: str, name: str, entry: dict[str, Any], own: str | None) -> Any:
    try:
        return adapter.validate_python({**entry, "name": name})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([kind, name, *map(str, first["loc"])])
        raise WeightsError(
            f"{own or 'catalogs/weights.toml'}: {key}: {first['msg'].removeprefix('Value error, ')}"
            f" (every key of an entry: docs/weights.md)"
        ) from None


def _consistent(weights: Mapping[str, Weight], archives: Mapping[str, Archive]) -> None:
    owner: dict[str, str] = {}
    for weight in weights.values():
        if weight.archive is not None and weight.archive not in archives:
            raise WeightsError(f"weights.{weight.name}.archive = {weight.archive}: no [archives.{weight.archive}]")
        other = owner.setdefault(weight.file, weight.name)
        if other != weight.name:
            raise WeightsError(f"weights.{weight.name} and weights.{other} are both called {weight.file}")
