"""What the product does today, as a manifest, to tell after a restructuring that nothing changed.

    python -m tests.manifest --write FILE             make the manifest
    python -m tests.manifest --compare FILE           make it again; one line per difference, exit status 1 for any
    … --still                                         only what needs no build (seconds instead of minutes)
    … --data ../shared/data                           real people instead of painted ones; keep FILE out of the project

The committed manifest of painted people is tests/fixtures/manifest/simulated.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.manifest import built, still
from tests.manifest.compare import compare
from tests.manifest.machine import machine

WIDTH = 100


def make_manifest(folder: Path | None, data: Path | None = None) -> dict[str, Any]:
    """The manifest; without a folder to build in, only its still parts."""
    parts = {"machine": machine(), **{name: part() for name, part in still.PARTS.items()}}
    return parts if folder is None else {**parts, **built.parts(folder, data)}


def to_text(manifest: Mapping[str, Any]) -> str:
    """Sorted JSON; what fits is on one line."""
    return f"{_text(manifest, 0)}\n"


def _text(value: Any, depth: int) -> str:
    line = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if not isinstance(value, (Mapping, list)) or not value or (len(line) + depth <= WIDTH and depth > 1):
        return line
    if isinstance(value, Mapping):
        inner = [f"{json.dumps(name, ensure_ascii=False)}: {_text(value[name], depth + 1)}" for name in sorted(value)]
    else:
        inner = [_text(each, depth + 1) for each in value]
    opening, closing = "{}" if isinstance(value, Mapping) else "[]"
    lines = ",\n".join(" " * (depth + 1) + each for each in inner)
    return f"{opening}\n{lines}\n{' ' * depth}{closing}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.manifest", description=(__doc__ or "").partition("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, metavar="FILE", help="write the manifest there")
    what.add_argument("--compare", type=Path, metavar="FILE", help="compare with that one; exit status 1 if different")
    parser.add_argument("--still", action="store_true", help="only what needs no build")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with voxceleb1-mini: real people")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="an empty folder to build in, which is kept")
    options = parser.parse_args(arguments)
    known = None if options.compare is None else json.loads(options.compare.read_text())
    with tempfile.TemporaryDirectory(prefix="voxdata-manifest-") as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        data = None if options.data is None else options.data.absolute()
        manifest = make_manifest(None if options.still else folder, data)
    if known is None:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(to_text(manifest))
        print(f"{options.write}: {options.write.stat().st_size / 1e3:.0f} kB, {len(manifest) - 1} parts")
        return 0
    compared = compare(known, json.loads(to_text(manifest)))
    for line in (*compared.notes, *compared.differences):
        print(line)
    print(f"{len(compared.differences)} differences in {', '.join(compared.parts)}")
    return 1 if compared.differences else 0


if __name__ == "__main__":
    sys.exit(main())
