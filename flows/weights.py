"""Handlers of `voxdata weights`: list, pull, import, verify, path."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from voxdata import weights as store
from voxdata.catalog.query import format_table
from voxdata.format.errors import WeightsError
from voxdata.pipeline.progress import progress

MEGABYTE = 1_000_000


def weights(options: argparse.Namespace) -> int:
    """`voxdata weights list | pull NAME… | import FILE… | verify | path NAME`."""
    match options.action:
        case "list":
            return _list()
        case "pull":
            return _each(options.names, _pull)
        case "import":
            return _each(options.files, _import)
        case "verify":
            return _verify()
    print(store.path(options.name))
    return 0


def _list() -> int:
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
    columns = [("name", pa.string()), ("mb", pa.float64())]
    columns += [(name, pa.string()) for name in ("here", "digest", "commercial", "licence", "used by")]
    sys.stdout.write(str(format_table(pa.Table.from_pylist(rows, schema=pa.schema(columns)), "table")))
    print(f"cache: {store.cache_folder()} ({store.CACHE_VARIABLE}); what each is for: docs/weights.md")
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
    weight = store.find(name)
    with suppress(WeightsError):
        _say_terms(weight, store.path(name))
        return
    total = weight.bytes // MEGABYTE if weight.bytes else None
    with progress(f"{name} (MB)", total) as advance:
        shown = 0

        def show(done: int, _: int | None) -> None:
            nonlocal shown
            advance(done // MEGABYTE - shown)
            shown = done // MEGABYTE

        file = store.pull(name, show)
    _say_terms(weight, file)


def _import(word: str) -> None:
    for weight in store.import_file(Path(word).expanduser()):
        _say_terms(weight, store.path(weight.name))


def _say_terms(weight: store.Weight, file: Path) -> None:
    """The whole digest, which the registry may not have, and the terms, which nobody reads otherwise."""
    print(f"{weight.name}: {file}, sha256 {store.sha256_of(file)}")
    if weight.digest in ("prefix", "reported"):
        stated = (
            "only its first digits are published" if weight.digest == "prefix" else "reported by others, now seen here"
        )
        print(f"  digest: {stated}; your own registry file can pin it (docs/weights.md)")
    print(f"  licence: {weight.licence}; commercial use: {weight.commercial}; trained on {weight.trained_on}")


def _verify() -> int:
    found = store.verify()
    for checked in found:
        print(f"{checked.weight.name}: {checked.problem or f'sound, sha256 {checked.sha256}'}")
    wrong = [checked.weight.name for checked in found if checked.problem]
    if wrong:
        said = f"{len(wrong)} of {len(found)} are not what the registry says"
        print(f"{said}; voxdata weights pull or import replaces them")
        return 1
    print(f"{len(found)} pretrained files under {store.cache_folder()} are sound")
    return 0
